// This program watches the process whose pid it is given, and says when it does.
import { ParentWatch } from '../../src/agent/parent-watch.js';

new ParentWatch(Number(process.argv[2]));
console.log(process.pid);
setInterval(() => undefined, 1_000);
