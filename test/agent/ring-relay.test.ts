import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RingRelay } from '../../src/agent/ring-relay.js';
import { encodeHeader, MESSAGE_HEADER_BYTES } from '../../src/collectives/message.js';
import { ShmSegment } from '../../src/collectives/shm-segment.js';
import type { Frame } from '../../src/rpc/generated/messages.js';
import { decodeFrame, messageOf } from '../rpc/whole-frame.js';

// The relay is that of node 0 of two nodes of two workers: it has ranks 0 and 1, the other node has 2 and 3.
const RING = 4096;
let here: ShmSegment;
let there: ShmSegment;
let relay: RingRelay;
let frames: Frame[];

beforeEach(() => {
  const shape = { numNodes: 2, workersPerNode: 2, ringBytes: RING };
  const runId = `relay-test-${process.pid}`;
  here = ShmSegment.create(runId, 5, { ...shape, node: 0 });
  there = ShmSegment.create(runId, 5, { ...shape, node: 1 });
  relay = new RingRelay(here);
  frames = [];
  relay.open(1, (parts, done) => {
    frames.push(decodeFrame(Buffer.concat(parts)));
    done();
  });
});

afterEach(() => {
  for (const segment of [here, there]) {
    segment.unlink();
    segment.close();
  }
});

/** Writes what a worker would: a header, then as much of the body as fits. */
function send(
  source: number,
  destination: number,
  sequence: number,
  bytes: number,
  aggregate: boolean,
): void {
  const header = new Uint8Array(MESSAGE_HEADER_BYTES);
  encodeHeader(header, { kind: 'all-to-all', purpose: 'dispatch' }, { sequence, step: 1 }, bytes, aggregate);
  const ring = here.ring(source, destination);
  ring.write(header, 0);
  ring.write(new Uint8Array(bytes).fill(source * 16 + destination), 0);
}

describe('sending', () => {
  it('sends a flat message as soon as it is there, one frame for each pair of ranks', () => {
    send(0, 2, 1, 10, false);
    send(1, 3, 1, 20, false);
    relay.sendAll();
    expect(frames.map(({ sections }) => sections)).toEqual([
      [0, 2, 0, 10 + MESSAGE_HEADER_BYTES],
      [1, 3, 0, 20 + MESSAGE_HEADER_BYTES],
    ]);
    expect(frames[0].generation).toBe(5);
    expect(relay.drained).toBe(true);
  });

  it('holds an aggregated message until all ranks have begun theirs, then packs one frame', () => {
    send(0, 2, 7, 1, true);
    send(0, 3, 7, 2, true);
    send(1, 2, 7, 3, true);
    relay.sendAll();
    expect(frames).toEqual([]);
    send(1, 3, 7, 4, true);
    relay.sendAll();
    expect(frames).toHaveLength(1);
    const H = MESSAGE_HEADER_BYTES;
    expect(frames[0].sections).toEqual([0, 2, 0, H + 1, 0, 3, 0, H + 2, 1, 2, 0, H + 3, 1, 3, 0, H + 4]);
    expect(frames[0].operation).toBe(7);
  });

  it('never has more than a ring of bytes outstanding for a pair, and goes on with credit', () => {
    const ring = here.ring(0, 2);
    send(0, 2, 1, 100_000, false);
    let left = 100_000 - (RING - MESSAGE_HEADER_BYTES);
    const more = () => {
      left -= ring.write(new Uint8Array(left), 0);
      relay.sendAll();
    };
    const sent = () => frames.reduce((sum, frame) => sum + frame.payload.length, 0);
    relay.sendAll();
    for (let i = 0; i < 5; i++) more();
    expect(sent()).toBe(RING);
    relay.credit(1, [0, 2, 1000]);
    for (let i = 0; i < 5; i++) more();
    expect(sent()).toBe(RING + 1000);
    for (let consumed = 1000; sent() < 100_000 + MESSAGE_HEADER_BYTES; consumed += 1000) {
      relay.credit(1, [0, 2, consumed]);
      more();
      expect(sent() - consumed).toBeLessThanOrEqual(RING);
    }
  });
});

describe('credit', () => {
  it.each([
    ['an incomplete triple', [0, 2], /an incomplete credit/],
    ['a rank that is not there', [0, 9, 0], /bytes of rank 0 for rank 9/],
    ['a pair the other way round', [2, 0, 0], /bytes of rank 2 for rank 0/],
    ['bytes that were never sent', [0, 2, 100_000], /not sent \(rank 0 to 2, at 100000\)/],
    ['bytes that were consumed before', [0, 2, 500, 0, 2, 499], /not sent \(rank 0 to 2, at 499\)/],
  ])('for %s is refused', (_what, consumed, message) => {
    send(0, 2, 1, 1000, false);
    relay.sendAll();
    expect(() => relay.credit(1, consumed)).toThrow(message);
  });
});

describe('receiving', () => {
  it('fills the ring of the worker and returns credit once a quarter was consumed', () => {
    const receiver = new RingRelay(there);
    send(0, 2, 1, 3000, false);
    relay.sendAll();
    for (const frame of frames) receiver.receiver(0).take(messageOf(frame));
    const ring = there.ring(0, 2);
    expect(ring.readable).toBe(3000 + MESSAGE_HEADER_BYTES);
    ring.read(new Uint8Array(RING / 4 - 1), 0);
    expect(receiver.takeCredit(0)).toEqual([]);
    ring.read(new Uint8Array(1), 0);
    expect(receiver.takeCredit(0)).toEqual([0, 2, RING / 4]);
    expect(receiver.takeCredit(0)).toEqual([]);
  });

  const payload = Buffer.alloc(8);
  it.each([
    [
      'another generation',
      { generation: 4, operation: 1, sections: [0, 2, 0, 8], payload },
      /generation 4 instead of 5/,
    ],
    ['a gap', { generation: 5, operation: 1, sections: [0, 2, 8, 8], payload }, /offset 8 instead of 0/],
    ['a stranger', { generation: 5, operation: 1, sections: [0, 9, 0, 8], payload }, /rank 0 for rank 9/],
    [
      'too much',
      { generation: 5, operation: 1, sections: [0, 2, 0, RING + 1], payload: Buffer.alloc(RING + 1) },
      /more than its credit/,
    ],
  ])('refuses %s', (_what, frame, message) => {
    expect(() => new RingRelay(there).receiver(0).take(messageOf(frame))).toThrow(message);
  });
});
