// The worker process in tests of the agent: reads its assignment, then does what LOCMOE_TEST_WORKER says (see
// `WorkerAction` in support.ts). It is JavaScript and imports the trainer's code only where needed, so that it starts
// in 50 ms.
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const scripts = JSON.parse(process.env.LOCMOE_TEST_WORKER ?? '[[]]');
let begin;
const begun = new Promise((resolve) => {
  begin = resolve;
});
let release;
const released = new Promise((resolve) => {
  release = resolve;
});
let transport;

async function load(name) {
  const { tsImport } = await import('tsx/esm/api');
  return tsImport(`../../src/collectives/${name}.ts`, import.meta.url);
}

async function follow({ topology, segmentPath, generation }) {
  for (const action of scripts[Math.min(topology.localRank, scripts.length - 1)]) {
    if (action === 'attach') {
      const { ShmTransport } = await load('shm-transport');
      transport = new ShmTransport({ segmentPath, generation, topology, timeoutMs: 20_000 });
      transport.setProgress(7, 'forward');
    } else if (action === 'barrier') (await load('barrier')).barrier(transport, { purpose: 'step' });
    else if (action === 'await begin') await begun;
    else if (action === 'await release') await released.then(() => send({ type: 'released' }));
    else if (action === 'await stop') while (!transport.stopRequested) await sleep(5);
    else if (action === 'hang') await new Promise(() => undefined);
    else if ('emit' in action) await send(action.emit);
    else if ('print' in action) writeSync(action.to === 'stderr' ? 2 : 1, `${action.print}\n`);
    else if ('printEnv' in action) writeSync(1, `${process.env[action.printEnv]}\n`);
    else if ('kill' in action) process.kill(process.pid, action.kill);
    else process.exit(action.exit);
  }
}

function send(message) {
  return new Promise((resolve) => process.send(message, () => resolve()));
}

process.on('disconnect', () => process.exit(3));
process.on('message', (command) => {
  if (command.type === 'begin') begin();
  else if (command.type === 'release') release();
  else if (command.type === 'start')
    follow(command.assignment).catch(async ({ code, message, context }) => {
      await send({ type: 'failed', code: code ?? 'INTERNAL', message, context: context ?? {} });
      process.exit(3);
    });
});
