import { expect, it } from 'vitest';
import { checkHeader, type Place, timeoutError } from '../../src/collectives/collective-errors.js';
import type { RankProgress } from '../../src/collectives/control-block.js';
import { topologyOf } from '../../src/collectives/topology.js';

const operation = { kind: 'all-to-all', purpose: 'dispatch', layer: 3, countsHash: 0xabc } as const;
const PLACE: Place = { topology: topologyOf(0, 2, 2), operation, sequence: 7, step: 203 };
const HEADER = { ...operation, sequence: 7, step: 203, totalBytes: 300, aggregate: false };
const CONTEXT = { rank: 0, node: 0, step: 203, layer: 3, operation: 'all-to-all dispatch (operation 7)' };

it('a message that belongs to the transfer passes', () => {
  expect(() => checkHeader(PLACE, 2, HEADER, 300)).not.toThrow();
});

it.each([
  [{ kind: 'all-reduce' } as const, /sent all-reduce dispatch \(operation 7\) of layer 3 with 300 bytes/],
  [{ purpose: 'combine' }, /sent all-to-all combine \(operation 7\)/],
  [{ sequence: 8 }, /sent all-to-all dispatch \(operation 8\)/],
  [{ layer: 4 }, /operation 7\) of layer 3 .* sent .* of layer 4 with/],
  [{ layer: undefined }, /sent all-to-all dispatch \(operation 7\) with/],
  [{ step: 204 }, /of step 203 .* of step 204 with/],
  [{ totalBytes: 400 }, /expects 300 bytes, but .* with 400 bytes:/],
  [{ countsHash: 0xdef }, /300 bytes by counts with hash abc, but .* 300 bytes by counts with hash def:/],
])('a message with %o is a mismatch that names both sides', (changes, message) => {
  const check = () => checkHeader(PLACE, 2, { ...HEADER, ...changes }, 300);
  expect(check).toThrow(
    expect.objectContaining({
      code: 'COLLECTIVE_MISMATCH',
      message: expect.stringMatching(message),
      context: CONTEXT,
    }),
  );
  expect(check).toThrow(/^rank 0 is in all-to-all dispatch \(operation 7\) .* but rank 2 \(node 1\) sent /);
});

it('a time-out names all ranks that are missing, and what those of the own node did last', () => {
  const progress: RankProgress = { pid: 1, heartbeat: 1, step: 203, phase: 'forward', operation: null };
  const error = timeoutError(PLACE, 1234, [1, 3], (rank) => (rank === 1 ? progress : null));
  expect(error).toMatchObject({ code: 'COLLECTIVE_TIMEOUT', context: CONTEXT });
  expect(error.message).toBe(
    'waited 1.2 s for rank 1 (node 0), rank 3 (node 1); rank 1 was last seen in step 203 forward, before its first operation',
  );
});
