import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import type { AgentEvent, StepReport, StopRequest } from '../../src/rpc/generated/messages.js';
import { loadProto } from '../../src/rpc/load-proto.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { Join, Session } = loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator');

// `npm run typecheck` fails where a line below `@ts-expect-error` compiles.
it('a field that is not in the .proto does not compile where it is sent, and would not arrive', () => {
  // @ts-expect-error
  const stop: StopRequest = { reason: 'enough', haste: true };
  // @ts-expect-error
  const unknown: AgentEvent = { event: 'stop', stop: { reason: 'enough', haste: true } };
  // @ts-expect-error
  const bytes = Session.requestSerialize({ event: 'stop', stop: { reason: 'enough', haste: true } });
  for (const sent of [
    Session.requestSerialize({ event: 'stop', stop }),
    Session.requestSerialize(unknown),
    bytes,
  ])
    expect(Session.requestDeserialize(sent)).toEqual({ event: 'stop', stop: { reason: 'enough' } });
});

it('a field that is missing, or of another event, does not compile where it is sent', () => {
  // @ts-expect-error
  const missing: StopRequest = {};
  // @ts-expect-error
  const mixed: AgentEvent = { event: 'stop', leaving: { snapshots: [] } };
  expect([missing, mixed]).toHaveLength(2);
});

it('a field that is not in the .proto does not compile where it is received', () => {
  const request = Join.requestDeserialize(Join.requestSerialize({ host: 'h', pid: 7 }));
  // @ts-expect-error
  expect(request.haste).toBeUndefined();
  const lossOf = (report: StepReport): number => report.loss;
  // @ts-expect-error
  const hasteOf = (report: StepReport): number => report.haste;
  expect(lossOf).not.toBe(hasteOf);
});

it('an event that is not handled does not compile', () => {
  const handle = (event: AgentEvent): string => {
    switch (event.event) {
      case 'stop':
        return event.stop.reason;
      default:
        // @ts-expect-error
        event satisfies never;
        return 'another';
    }
  };
  expect(handle({ event: 'stop', stop: { reason: 'enough' } })).toBe('enough');
});

it('lint says in one line that the types are stale', () => {
  const copy = mkdtempSync(path.join(tmpdir(), 'locmoe-proto-'));
  try {
    for (const part of ['scripts/proto-types.mjs', 'proto', 'src/rpc/generated'])
      cpSync(path.join(ROOT, part), path.join(copy, part), { recursive: true });
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(copy, 'node_modules'));
    const run = (...args: string[]) => {
      const script = path.join(copy, 'scripts/proto-types.mjs');
      const { status, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
      return { status, stderr };
    };
    appendFileSync(path.join(copy, 'proto/coordinator.proto'), '\nmessage Haste {}\n');
    const line = 'src/rpc/generated is not what proto/ says: run `npm run proto`\n';
    expect(run('--check')).toEqual({ status: 1, stderr: line });
    expect(run()).toEqual({ status: 0, stderr: '' });
    expect(run('--check')).toEqual({ status: 0, stderr: '' });
  } finally {
    rmSync(copy, { recursive: true });
  }
});
