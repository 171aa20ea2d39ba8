import { expect, it } from 'vitest';
import { idleGate } from '../../src/cli/run-summary.js';

it('says that a gate is idle where the ids decide, and nothing of a router without a gate or of one whose gate decides', () => {
  expect(idleGate({ idShare: 0.994, gateShare: 0.5 })).toContain('nearly idle: 99 %');
  expect(idleGate({ idShare: 0.72, gateShare: 1 })).toBeNull();
  // A token that is offered to all experts has the same ones as before; so has one whose gate alone has learned its id.
  expect(idleGate({ idShare: 1, gateShare: 1 })).toBeNull();
  expect(idleGate({ idShare: 1 })).toBeNull();
  expect(idleGate({})).toBeNull();
});
