// A worker of a probe: does the cases one after another with the other ranks. Started by probe-node.ts.
import { ShmTransport } from 'locmoe/collectives/shm-transport';
import type { Transport } from 'locmoe/collectives/transport';
import { asTrainerError } from 'locmoe/errors';
import { processInfo } from 'locmoe/os/process-info';
import { timeProduct, timeSteps } from './probe-compute.js';
import { timeExchange } from './probe-exchange.js';
import type { FromRank, ProbeCase, ProbeResult, RankTask } from './probe-messages.js';

const TIMEOUT_MS = 60_000;

process.on('disconnect', () => process.exit(1));
process.once('message', (task: RankTask) => {
  try {
    leave(runAll(task), 0);
  } catch (error) {
    leave({ type: 'failed', message: asTrainerError(error).line }, 1);
  }
});

function leave(message: FromRank, code: number): void {
  process.send?.(message, () => process.exit(code));
}

function runAll(task: RankTask): FromRank {
  const transport = new ShmTransport({ ...task, generation: 1, timeoutMs: TIMEOUT_MS });
  let residentBytes = 0;
  const results = task.cases.map((each) => {
    const result = run(transport, each);
    residentBytes ||= processInfo(process.pid).residentBytes;
    return result;
  });
  return { type: 'result', outcome: { results, residentBytes } };
}

function run(transport: Transport, each: ProbeCase): ProbeResult {
  switch (each.kind) {
    case 'step':
      return timeSteps(transport, each.config, each.steps);
    case 'product':
      return timeProduct(each.rows, each.inner, each.columns);
    case 'exchange':
      return timeExchange(transport, each);
  }
}
