import { expect, it } from 'vitest';
import { StartClock } from '../../src/worker/start-clock.js';

it('a worker goes on with the clock of its agent, and a part that comes twice counts twice', () => {
  const agent = new StartClock();
  agent.end('rings');
  const [{ startMs, endMs }] = agent.parts;
  expect(endMs).toBeGreaterThanOrEqual(startMs);
  const worker = new StartClock(agent.parts);
  worker.end('node', endMs + 40);
  worker.end('rings', endMs + 50);
  expect(worker.partsMs).toEqual({ node: 40, rings: expect.closeTo(endMs - startMs + 10) });
  expect(agent.parts).toHaveLength(1);
});
