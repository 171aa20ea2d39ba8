import { rankProgram } from '@locmoe/test-kit';
import { allReduce } from '../../src/collectives/all-reduce.js';
import { barrier } from '../../src/collectives/barrier.js';
import type { ShmTransport } from '../../src/collectives/shm-transport.js';

export type Misbehaviour = 'absent' | 'other step' | 'endless' | 'until stopped';

const body: Record<Misbehaviour, (transport: ShmTransport) => unknown> = {
  /** The last rank skips the second operation. */
  absent: (transport) => {
    transport.setProgress(203, 'backward');
    const { rank, worldSize } = transport.topology;
    allReduce(transport, { data: new Float32Array(3), purpose: 'gradients' });
    if (rank === worldSize - 1) return sleep(2500);
    barrier(transport, { purpose: 'step' });
  },
  'other step': (transport) => {
    transport.setProgress(transport.topology.rank === 1 ? 204 : 203, 'forward');
    barrier(transport, { purpose: 'step' });
  },
  endless: (transport) => {
    for (let step = 0; ; step++) {
      transport.setProgress(step, 'forward');
      barrier(transport, { purpose: 'step' });
    }
  },
  'until stopped': (transport) => {
    for (let step = 0; ; step++) {
      const stop = new Float32Array([transport.stopRequested ? 1 : 0]);
      allReduce(transport, { data: stop, purpose: 'stop' });
      if (stop[0] > 0) return step;
    }
  },
};

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

rankProgram((transport: ShmTransport, misbehaviour: Misbehaviour) => body[misbehaviour](transport));
