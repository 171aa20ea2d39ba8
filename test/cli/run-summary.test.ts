import { expect, it } from 'vitest';
import { idleGate } from '../../src/cli/run-summary.js';

it('says that a gate is idle where the ids decide, and nothing of a router without a gate or of one whose gate decides', () => {
  expect(idleGate({ idShare: 0.994, gateShare: 0.5 })).toContain('nearly idle: 99 %');
  expect(idleGate({ idShare: 0.72, gateShare: 1 })).toBeNull();
  // A token offered to all experts gets the same ones as before, and so does one whose id only the gate has learned.
  expect(idleGate({ idShare: 1, gateShare: 1 })).toBeNull();
  expect(idleGate({ idShare: 1 })).toBeNull();
  expect(idleGate({})).toBeNull();
});
