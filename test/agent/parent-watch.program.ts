// Watches the process of the pid it is given, and says when it does.
import { exitWithParent } from '../../src/agent/parent-watch.js';

exitWithParent(Number(process.argv[2]));
console.log(process.pid);
setInterval(() => undefined, 1_000);
