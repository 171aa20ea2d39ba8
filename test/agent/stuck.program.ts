// This process gets stuck in the code given as its argument, and reports where through STACK_FD, as a worker does.
import { runInThisContext } from 'node:vm';
import { keepInspectorShut } from '../../src/os/on-signals.js';
import { ShardWriter } from '../../src/worker/shard-writer.js';
import { STACK_FD } from '../../src/worker/stack-answer.js';

keepInspectorShut();
new ShardWriter().answerForStack(STACK_FD);
process.stdout.write('begun', () => runInThisContext(process.argv[2]));
