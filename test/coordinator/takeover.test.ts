import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LogStore } from '@locmoe/logs';
import { type RunFolder, readRecords } from '@locmoe/run-format';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Outbox } from '../../src/agent/outbox.js';
import { loadConfig } from '../../src/config/resolve.js';
import { Coordinator } from '../../src/coordinator/coordinator.js';
import { adoptionOf } from '../../src/coordinator/planning/adoption.js';
import { truncateHistory } from '../../src/coordinator/planning/run-history.js';
import type { RunPlan } from '../../src/coordinator/planning/run-options.js';
import { RunJournal } from '../../src/coordinator/run-journal.js';
import { createLogger } from '../../src/logger.js';
import type { AgentEvent } from '../../src/rpc/generated/messages.js';
import { VERSION } from '../../src/rpc/version.js';
import { createRunFolder } from '../../src/run/create-run-folder.js';
import { DiskTolerance } from '../../src/run/disk-tolerance.js';
import { RunRecorder } from '../../src/run/run-recorder.js';
import { stepReport } from './coordinator-of.js';

const config = loadConfig('tiny', { nodes: 2, workersPerNode: 1 });

const step = (rank: number, step: number): AgentEvent => ({
  event: 'step',
  step: stepReport({ step, rank }),
});
const validation = (step: number): AgentEvent => ({
  event: 'validation',
  validation: { step, domains: [{ domain: config.data.domains[0], loss: 1, tokens: 8 }] },
});

/** What the nodes send, in order of arrival; neither node is always ahead. */
const SAID: readonly (readonly [node: number, event: AgentEvent])[] = [
  [0, step(0, 1)],
  [1, step(1, 1)],
  // This validation comes before the last report of its step.
  [0, step(0, 2)],
  [0, validation(2)],
  [1, step(1, 2)],
  [1, step(1, 3)],
  [1, step(1, 4)],
  [0, step(0, 3)],
  [0, step(0, 4)],
  // This one comes after it.
  [0, validation(4)],
  [0, step(0, 5)],
  [1, step(1, 5)],
];

let parent: string;
let folder: RunFolder;
let outboxes: readonly Outbox[];

beforeEach(() => {
  parent = mkdtempSync(path.join(tmpdir(), 'locmoe-takeover-'));
});

afterEach(() => {
  vi.restoreAllMocks();
  rmSync(parent, { recursive: true });
});

/** Leads the run as `serve` does: from its beginning, or from where it is on disk. */
function lead(): { readonly coordinator: Coordinator; readonly fall: () => void } {
  const adopts = adoptionOf(folder, (saved) => saved);
  const { runId, directory: runDir } = folder;
  const place = { runId, generation: 1, datasetDir: runDir };
  const disk = new DiskTolerance(() => undefined);
  const logs = new LogStore(folder.logs, () => undefined);
  const origin = { ...place, address: 'h:1', isSecured: false, forkedFrom: null, initFrom: null };
  const begun = adopts === null ? { generation: 1, resumedFrom: null } : null;
  const recorder = new RunRecorder(folder, disk, origin, begun);
  const journal = new RunJournal(folder, 1, disk, (line) => {
    throw new Error(line);
  });
  const identity = { ...place, config, runDir, resumeFrom: null, resumedStep: 0, initFrom: null };
  if (adopts === null) journal.begin(identity);
  const plan = { config, checkpoint: null, adopts } as RunPlan;
  const coordinator = new Coordinator({
    identity,
    logs,
    adopts,
    listeners: [truncateHistory(folder, plan), recorder, journal],
    logger: createLogger({
      level: 'error',
      origin: { run: runId, generation: 1 },
      destination: { write: () => undefined },
    }),
    joinTimeoutMs: 60_000,
    nodesAreReplaceable: true,
  });
  coordinator.announceAdoption();
  const fall = () => {
    coordinator.close();
    journal.close();
    logs.close();
  };
  return { coordinator, fall };
}

function connect(coordinator: Coordinator, node: number): void {
  coordinator.admission.connect(node, `127.0.0.1:${node + 1}`, {
    send: (command) => outboxes[node].hear(command),
    close: () => undefined,
  });
}

/** Begins a new run of two nodes, up to training. */
function begin(): ReturnType<typeof lead> {
  folder = createRunFolder(parent, 'r');
  const led = lead();
  outboxes = [new Outbox(), new Outbox()];
  for (const node of [0, 1]) {
    const dataAddress = `127.0.0.1:${node + 1}`;
    led.coordinator.admission.join({ host: 'h', pid: node + 1, dataAddress, version: VERSION });
    connect(led.coordinator, node);
  }
  for (const node of [0, 1]) led.coordinator.receive(node, { event: 'ready', ready: {} });
  expect(led.coordinator.lifecycle.state.kind).toBe('running');
  return led;
}

/** Another coordinator takes the run over; node 1 comes first. */
function takeOver(): ReturnType<typeof lead> {
  const led = lead();
  expect(led.coordinator.lifecycle.state.kind).toBe('running');
  for (const node of [1, 0]) {
    connect(led.coordinator, node);
    for (const event of outboxes[node].events) led.coordinator.receive(node, event);
  }
  return led;
}

const recorded = (kind: 'step' | 'validation') =>
  readRecords(folder.metrics).flatMap((record) => (record.type === kind ? [record.step] : []));

it.each([
  ['has hardly told its nodes what it has recorded', 0],
  ['tells its nodes after every step', 1_000],
])('a coordinator that %s loses and repeats nothing, wherever it falls', (_how, msBetweenLooks) => {
  let now = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => {
    now += msBetweenLooks;
    return now;
  });
  for (let fallsAfter = 0; fallsAfter <= SAID.length; fallsAfter++) {
    let led = begin();
    const say = ([node, event]: (typeof SAID)[number]) => {
      outboxes[node].add(event);
      led.coordinator.receive(node, event);
    };
    SAID.slice(0, fallsAfter).forEach(say);
    led.fall();
    led = takeOver();
    SAID.slice(fallsAfter).forEach(say);
    led.fall();
    expect([recorded('step'), recorded('validation')], `after ${fallsAfter} events`).toEqual([
      [1, 2, 3, 4, 5],
      [2, 4],
    ]);
  }
});

it('a validation that arrives before the steps up to its own is recorded once, whoever leads', () => {
  let led = begin();
  const say = (node: number, event: AgentEvent) => {
    outboxes[node].add(event);
    led.coordinator.receive(node, event);
  };
  say(1, step(1, 1));
  for (const event of [step(0, 1), step(0, 2), step(0, 3), validation(3)]) say(0, event);
  say(1, step(1, 2));
  led.fall();
  led = takeOver();
  say(1, step(1, 3));
  led.fall();
  led = takeOver();
  expect(recorded('step')).toEqual([1, 2, 3]);
  expect(recorded('validation')).toEqual([3]);
  led.fall();
});
