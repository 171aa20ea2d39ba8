// A rank of a probe: runs the cases in order with the other ranks. Started by probe.ts.
import { rankProgram } from '@locmoe/test-kit';
import type { Transport } from 'locmoe/internal/collectives/transport';
import { processInfo } from 'locmoe/internal/os/process-info';
import type { ProbeCase, ProbeOutcome, ProbeResult } from './probe-case.js';
import { timeProduct, timeSteps } from './probe-compute.js';
import { timeExchange } from './probe-exchange.js';

rankProgram((transport, cases: readonly ProbeCase[]): ProbeOutcome => {
  let residentBytes = 0;
  const results = cases.map((each) => {
    const result = run(transport, each);
    residentBytes ||= processInfo(process.pid).residentBytes;
    return result;
  });
  return { results, residentBytes };
});

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
