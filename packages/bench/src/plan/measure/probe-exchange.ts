import { otherRanks } from 'locmoe/internal/collectives/topology';
import type { Transport } from 'locmoe/internal/collectives/transport';
import { kernels } from 'locmoe/internal/ops/kernels/choose-kernels';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { median } from '../../statistics.js';
import { timeOf } from '../../time-of.js';
import type { ProbeCase, ProbeResult } from './probe-case.js';

const WARM_UP = 5;
/**
 * Passes through a small feed-forward network between two exchanges, of about 1.5 ms each. As many in every case: what an
 * exchange takes is a difference of two.
 */
const PASSES = 6;

/**
 * Times intervals of work, each followed by an exchange. In a loop of exchanges alone, caches stay warm and
 * agents never compete with workers for cores; in training they do, which is most of the cost of an exchange.
 */
export function timeExchange(
  transport: Transport,
  { bytes, aggregate, repetitions }: Extract<ProbeCase, { kind: 'exchange' }>,
): ProbeResult {
  return tf.tidy(() => {
    const work = stretch();
    const exchange = exchangeOf(transport, bytes ?? 0, aggregate);
    const once = () => {
      work();
      if (bytes !== null) exchange();
    };
    // A common start.
    exchange();
    for (let i = 0; i < WARM_UP; i++) once();
    return { kind: 'exchange', ms: median(Array.from({ length: repetitions }, () => timeOf(once))) };
  });
}

function stretch(): () => void {
  const x = tf.randomNormal([512, 128]) as tf.Tensor2D;
  const wIn = tf.randomNormal([128, 512]) as tf.Tensor2D;
  const wOut = tf.randomNormal([512, 128]) as tf.Tensor2D;
  const network = kernels().network('fixed');
  const pass = () =>
    tf.tidy(() => {
      network.forward(x, { wInDF: wIn, wOutFD: wOut }).y.dataSync();
    });
  return () => {
    for (let i = 0; i < PASSES; i++) pass();
  };
}

/** An all-to-all, verified once. */
function exchangeOf(transport: Transport, bytes: number, aggregate: boolean): () => void {
  const peers = otherRanks(transport.topology);
  const mine = new Uint8Array(bytes).fill(transport.topology.rank + 1);
  const received = peers.map(() => new Uint8Array(bytes));
  const exchange = () =>
    transport.transfer(
      { kind: 'all-to-all', purpose: 'probe' },
      peers.map((to) => ({ to, parts: [mine] })),
      peers.map((from, i) => ({ from, parts: [received[i]!] })),
      { aggregate },
    );
  exchange();
  peers.forEach((from, i) => {
    if (!received[i]!.every((byte) => byte === from + 1))
      throw new Error(`bytes of rank ${from} arrived wrong`);
  });
  return exchange;
}
