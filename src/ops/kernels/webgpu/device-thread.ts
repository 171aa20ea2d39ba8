import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import { ANSWERED, tell } from './answer.js';
import { described, serveDevice } from './command-runner.js';
import type { DeviceCommand, DeviceThreadData } from './commands.js';

// The thread of a `Device`. WebGPU answers in the event loop, to which the main thread does not return within a step.

/** The part of Dawn's addon that is used here. */
interface Dawn {
  create(flags: readonly string[]): GPU;
  readonly globals: object;
}

const { library, answer } = workerData as DeviceThreadData;

/** Dawn destroys its devices if this is collected as garbage. */
let gpu: GPU;

async function load(): Promise<GPU> {
  const dawn = createRequire(import.meta.url)(library) as Dawn;
  Object.assign(globalThis, dawn.globals);
  gpu = dawn.create([]);
  return gpu;
}

process.on('uncaughtException', (error) => tell(answer, ANSWERED.failed, described(error)));
const { opened, run } = serveDevice(load(), answer);
opened.catch(() => parentPort!.close());
parentPort!.on('message', (commands: readonly DeviceCommand[]) => run(commands));
