import { describe, expect, it } from 'vitest';
import { Outbox } from '../../src/agent/outbox.js';
import type { AgentEvent } from '../../src/rpc/generated/messages.js';

/** An event with only the fields that an outbox reads. */
const event = (kind: string, step = 0) => ({ event: kind, [kind]: { step } }) as unknown as AgentEvent;
const named = (outbox: Outbox) =>
  outbox.events.map(
    (each) => `${each.event} ${(each as unknown as Record<string, { step: number }>)[each.event]!.step}`,
  );

describe('what a coordinator may not have on disk', () => {
  it('is kept until it says so, in order', () => {
    const outbox = new Outbox();
    for (const step of [1, 2, 3]) outbox.add(event('step', step));
    outbox.add(event('validation', 2));
    outbox.add(event('saving', 2));
    outbox.add(event('shards', 2));
    outbox.hear({ command: 'recorded', recorded: { step: 2 } });
    // A validation comes after its step; saves are acknowledged separately.
    expect(named(outbox)).toEqual(['step 3', 'validation 2', 'saving 2', 'shards 2']);
    outbox.hear({ command: 'recorded', recorded: { step: 3 } });
    outbox.hear({ command: 'saveEnded', saveEnded: { step: 2, committed: true } });
    expect(named(outbox)).toEqual([]);
  });

  it('leaves out events that are sent again anyway', () => {
    const outbox = new Outbox();
    for (const kind of ['heartbeat', 'logs', 'ready', 'leaving', 'failure', 'finished', 'stop'])
      outbox.add(event(kind));
    expect(named(outbox)).toEqual(['failure 0', 'finished 0', 'stop 0']);
  });

  it('keeps only the newest snapshot', () => {
    const outbox = new Outbox();
    for (const [kind, step] of [
      ['snapshot', 5],
      ['step', 6],
      ['snapshot', 10],
    ] as const)
      outbox.add(event(kind, step));
    expect(named(outbox)).toEqual(['step 6', 'snapshot 10']);
  });

  it('is bounded', () => {
    const outbox = new Outbox();
    for (let step = 1; step <= 10_001; step++) outbox.add(event('step', step));
    expect(outbox.isFull).toBe(true);
    expect(outbox.events).toHaveLength(10_000);
  });
});

it('a save that workers were told to write is written once, whoever says so again', () => {
  const outbox = new Outbox();
  expect(
    [10, 10, 20, 10].map((step) => outbox.hear({ command: 'writeShards', writeShards: { step } })),
  ).toEqual([true, false, true, false]);
});
