import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { slowLink } from '../../src/coordinator/slow-link.js';

const linkOf = (gbps: number, latencyMs: number, nodes = 2) =>
  slowLink(
    loadConfig('tiny', { nodes, sets: [`cluster.interNodeLink={gbps: ${gbps}, latencyMs: ${latencyMs}}`] })
      .cluster,
  );

it('says what a link lets pass before a collective fails, if that is less than a frame', () => {
  expect(linkOf(1e-6, 2000)).toBe(
    'cluster.interNodeLink lets 1,000 bytes pass in 10 s, and a collective fails in which nothing arrives for that long: raise it or cluster.collectiveTimeoutS',
  );
  expect(linkOf(1e-3, 0)).toBeNull();
  expect(linkOf(1e-6, 0, 1)).toBeNull();
});
