import { allReduce } from 'locmoe/internal/collectives/all-reduce';
import { type AllToAllOptions, allToAll } from 'locmoe/internal/collectives/all-to-all';
import { hierarchicalAllToAll } from 'locmoe/internal/collectives/hierarchical-all-to-all';
import type { Transport } from 'locmoe/internal/collectives/transport';
import type { ExchangeCase } from './cases.js';

/**
 * Element i that `from` sends to `to`: exact in float32, different for every pair and between neighbouring
 * blocks.
 */
function element(from: number, to: number, i: number): number {
  return from * 32 + to + (i % 1021) / 1024;
}

/**
 * A collective with its buffers, verified once.
 *
 * @throws Error naming the rank and the wrong element
 */
export function prepareExchange(transport: Transport, { collective, bytes }: ExchangeCase): () => void {
  if (collective === 'all-reduce') return prepareAllReduce(transport, bytes / 4);
  const exchange = collective === 'all-to-all' ? hierarchicalAllToAll : allToAll;
  return prepareAllToAll(transport, exchange, bytes / 4);
}

function prepareAllToAll(transport: Transport, exchange: typeof allToAll, count: number): () => void {
  const { rank, worldSize } = transport.topology;
  const [sent, received] = [new Float32Array(worldSize * count), new Float32Array(worldSize * count)];
  for (let to = 0; to < worldSize; to++)
    for (let i = 0; i < count; i++) sent[to * count + i] = element(rank, to, i);
  const options: AllToAllOptions = {
    sends: parts(sent, count),
    receives: parts(received, count),
    purpose: 'bench',
  };
  const run = () => exchange(transport, options);
  run();
  for (let from = 0; from < worldSize; from++)
    for (let i = 0; i < count; i++)
      check(rank, 'all-to-all', from * count + i, received[from * count + i]!, element(from, rank, i));
  return run;
}

/** The bytes of each block of `count` elements. */
function parts(data: Float32Array, count: number): Uint8Array[][] {
  return Array.from({ length: data.length / count }, (_, i) => [
    new Uint8Array(data.buffer, i * count * 4, count * 4),
  ]);
}

function prepareAllReduce(transport: Transport, count: number): () => void {
  const { rank, worldSize } = transport.topology;
  const data = new Float32Array(count);
  for (let i = 0; i < count; i++) data[i] = (rank + 1) * (1 + (i % 13));
  const run = () => allReduce(transport, { data, purpose: 'bench' });
  run();
  const sum = (worldSize * (worldSize + 1)) / 2;
  for (let i = 0; i < count; i++) check(rank, 'all-reduce', i, data[i]!, sum * (1 + (i % 13)));
  // Zeros, so that repeated sums do not overflow.
  data.fill(0);
  return run;
}

function check(rank: number, what: string, i: number, actual: number, expected: number): void {
  if (actual !== expected)
    throw new Error(`rank ${rank}: element ${i} of the ${what} is ${actual} instead of ${expected}`);
}
