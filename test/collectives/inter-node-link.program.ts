import { rankProgram } from '@locmoe/test-kit';
import { allToAll } from '../../src/collectives/all-to-all.js';
import { barrier } from '../../src/collectives/barrier.js';
import type { Transport } from '../../src/collectives/transport.js';

/** Milliseconds of one barrier, and of an all-to-all of 500,000 bytes a pair. */
rankProgram((transport: Transport) => {
  const timed = (run: () => void) => {
    barrier(transport, { purpose: 'start' });
    const started = performance.now();
    run();
    return performance.now() - started;
  };
  const bytes = () => Array.from({ length: transport.topology.worldSize }, () => [new Uint8Array(500_000)]);
  const [sends, receives] = [bytes(), bytes()];
  const barrierMs = timed(() => barrier(transport, { purpose: 'timed' }));
  const exchangeMs = timed(() => allToAll(transport, { sends, receives, purpose: 'timed' }));
  return { barrierMs, exchangeMs };
});
