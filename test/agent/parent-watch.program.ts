// This program watches the process whose pid it is given, and prints a line once the watch has begun.
import { ParentWatch } from '../../src/agent/parent-watch.js';

new ParentWatch(Number(process.argv[2]));
console.log(process.pid);
setInterval(() => undefined, 1_000);
