import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { JournalEntry, RunFolder } from '@locmoe/run-format';
import { processIdentity } from '@locmoe/run-format/process-identity';
import { describe, expect, it, onTestFinished } from 'vitest';
import { leftoversOf } from '../../src/chaos/evidence-of-run.js';
import { type Circumstances, readEvidence } from '../../src/chaos/invariants/evidence.js';
import { checkInvariants, INVARIANTS } from '../../src/chaos/invariants/invariants.js';
import { forgedRun, KILL, type Story, soundStory, stepRecord } from './forged-run.js';

const UNKNOWN: Circumstances = { twin: null, exitCode: 0, leftovers: [] };

function verdictOn(folder: RunFolder, known: Partial<Circumstances> = {}) {
  return checkInvariants(readEvidence(folder.directory, { ...UNKNOWN, ...known }));
}

/** Returns the invariants that a story breaks. */
function brokenBy(change: (story: Story) => void, known: Partial<Circumstances> = {}): string[] {
  const story = soundStory();
  change(story);
  return namesIn(verdictOn(forgedRun(story), known).violations);
}

function namesIn(violations: readonly string[]): string[] {
  return [...new Set(violations.map((each) => each.split(':')[0]))];
}

function entryOf<Type extends JournalEntry['type']>({ journal }: Story, type: Type) {
  return journal.findIndex((entry) => entry.type === type);
}

function damagedFile({ checkpoints }: RunFolder): string {
  return path.join(checkpoints, 'step-000008', 'shared.safetensors');
}

it('all hold for a run that was killed, recovered and finished', () => {
  const twin = forgedRun(soundStory()).directory;
  const verdict = verdictOn(forgedRun(soundStory()), { twin });
  expect(verdict).toEqual({ checked: Object.keys(INVARIANTS), violations: [] });
});

it('are left out where there is no evidence', () => {
  const story = soundStory();
  story.journal.pop();
  const { checked } = verdictOn(forgedRun(story), { exitCode: null, leftovers: null });
  expect(checked).toEqual(['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I9']);
});

describe('I1 is broken by', () => {
  it('a generation that begins while another has not failed', () => {
    const broken = brokenBy((story) => {
      story.faults = [];
      story.journal.splice(entryOf(story, 'failure'), 1);
    });
    expect(broken).toEqual(['I1']);
  });

  it('a second process that leads in the same term, and a generation that begins twice', () => {
    const lead: JournalEntry = { time: 4, type: 'lead', term: 1, pid: 6, host: 'h' };
    expect(brokenBy(({ journal }) => journal.splice(4, 0, lead))).toEqual(['I1']);
    expect(brokenBy(({ journal }) => journal.splice(4, 0, journal[3]))).toEqual(['I1']);
    expect(brokenBy(({ journal }) => journal.splice(4, 0, { ...lead, term: 2 }))).toEqual([]);
  });
});

describe('I2 is broken by', () => {
  it('a checkpoint of a generation that was over', () => {
    const late: JournalEntry = { time: 130, type: 'committed', generation: 1, step: 6 };
    expect(brokenBy(({ journal }) => journal.splice(9, 0, late))).toEqual(['I2']);
  });

  it('a checkpoint that an older generation wrote over', () => {
    expect(brokenBy(({ checkpoints }) => checkpoints.set(8, 1))).toEqual(['I2']);
  });
});

describe('I3 is broken by', () => {
  it('a step that is missing, or done twice', () => {
    expect(brokenBy(({ records }) => records.splice(5, 1))).toEqual(['I3']);
    expect(brokenBy(({ records }) => records.splice(5, 0, records[5]))).toEqual(['I3']);
  });

  it('a start from what nobody committed', () => {
    expect(brokenBy((story) => story.journal.splice(entryOf(story, 'committed'), 1))).toEqual(['I3']);
  });
});

describe('I4 is broken by', () => {
  it('a checkpoint that does not load, unless it was damaged on purpose', () => {
    const story = soundStory();
    const folder = forgedRun(story);
    truncateSync(damagedFile(folder), 99);
    expect(namesIn(verdictOn(folder).violations)).toEqual(['I4']);

    const damaged = { folder: 'step-000008', generation: 2 };
    story.faults = [{ ...KILL, fault: 'corrupt-checkpoint', damaged }];
    const damagedOnPurpose = forgedRun(story);
    truncateSync(damagedFile(damagedOnPurpose), 99);
    expect(verdictOn(damagedOnPurpose).violations).toEqual([]);
  });

  it('no checkpoint at all after some were committed', () => {
    expect(brokenBy((story) => story.checkpoints.clear())).toEqual(['I4']);
  });
});

it('I6 is broken by a token that is neither kept nor dropped, or that travelled nowhere', () => {
  const [layer] = stepRecord(3).layers;
  const withLayer = (changed: typeof layer) => (story: Story) => {
    story.records[4] = { ...stepRecord(3), layers: [changed] };
  };
  expect(brokenBy(withLayer({ ...layer, routed: [41, 30, 20, 10] }))).toEqual(['I6']);
  expect(brokenBy(withLayer({ ...layer, otherNode: 9 }))).toEqual(['I6']);
});

it('I7 is broken by another loss; with another layout of ranks a difference of rounding is allowed', () => {
  const twin = forgedRun(soundStory()).directory;
  const withLoss = (factor: number) => (story: Story) => {
    const record = stepRecord(8);
    story.records[9] = { ...record, loss: record.loss! * factor };
  };
  expect(brokenBy(withLoss(1 + 1e-12), { twin })).toEqual(['I7']);
  const smaller = (story: Story) => {
    const at = story.journal.findLastIndex(({ type }) => type === 'generation');
    story.journal[at] = { ...story.journal[at], nodes: 1 } as JournalEntry;
  };
  const both = (factor: number) => (story: Story) => {
    withLoss(factor)(story);
    smaller(story);
  };
  expect(brokenBy(both(1 + 1e-6), { twin })).toEqual([]);
  expect(brokenBy(both(1 + 1e-4), { twin })).toEqual(['I7']);
});

describe('I8 is broken by', () => {
  it('whatever is left', async () => {
    const folder = forgedRun(soundStory());
    const segment = `/dev/shm/locmoe-${folder.runId}-g1-n0-1-1`;
    onTestFinished(() => rmSync(segment, { force: true }));
    writeFileSync(segment, '');
    writeFileSync(path.join(folder.directory, 'run.json.tmp'), '');
    const me = { pid: process.pid, identity: processIdentity(process.pid) };
    const former = { pid: process.pid, identity: 'another/1' };
    const leftovers = await leftoversOf(folder, [me, former], 100);
    expect(leftovers).toEqual([`process ${process.pid}`, segment, 'run.json.tmp']);
    expect(namesIn(verdictOn(folder, { leftovers }).violations)).toEqual(['I8']);
  });
});

describe('I9 is broken by', () => {
  const blame = (rank: number | null, node: number | null) => (story: Story) => {
    const at = entryOf(story, 'failure');
    story.journal[at] = { ...story.journal[at], rank, node } as JournalEntry;
  };

  it('another culprit than the victim', () => {
    expect(brokenBy(blame(3, 1))).toEqual(['I9']);
    const killedAgent = { ...KILL, fault: 'agent-kill', rank: null };
    const withAgent = (change: (story: Story) => void) => (story: Story) => {
      story.faults = [killedAgent];
      change(story);
    };
    expect(brokenBy(withAgent(blame(3, 1)))).toEqual([]);
    expect(brokenBy(withAgent(blame(1, 0)))).toEqual(['I9']);
  });

  it('a failure without a fault, and one after a fault that a run goes through', () => {
    expect(brokenBy((story) => story.faults.pop())).toEqual(['I9']);
    expect(brokenBy((story) => story.faults.splice(0, 1, { ...KILL, fault: 'slow-link' }))).toEqual(['I9']);
  });

  it('a failure, but not by a node that is taken in', () => {
    const planned = (story: Story) => {
      const at = entryOf(story, 'failure');
      story.faults = [];
      story.journal[at] = {
        ...story.journal[at],
        code: 'NODE_RETURNED',
        rank: null,
        node: null,
      } as JournalEntry;
    };
    expect(brokenBy(planned)).toEqual([]);
  });

  it('a killed worker that nobody notices', () => {
    const unnoticed = { ...KILL, time: 150 };
    const lasting = (story: Story) => {
      story.faults.push(unnoticed);
      story.journal[story.journal.length - 1] = { ...story.journal.at(-1)!, time: 20_000 };
    };
    expect(brokenBy(lasting)).toEqual(['I9']);
  });
});

it('I10 is broken by another exit code than that of the end', () => {
  expect(brokenBy(() => undefined, { exitCode: 3 })).toEqual(['I10']);
  expect(
    brokenBy(({ journal }) =>
      journal.splice(-1, 1, { time: 300, type: 'end', state: 'stopped', exitCode: 0 }),
    ),
  ).toEqual(['I10']);
});

it('I5 is broken by a checkpoint without a tensor that others have', () => {
  const evidence = readEvidence(forgedRun(soundStory()).directory, UNKNOWN);
  const [newest, oldest] = evidence.checkpoints;
  const violations = (tensors: readonly string[]) =>
    namesIn(checkInvariants({ ...evidence, checkpoints: [{ ...newest, tensors }, oldest] }).violations);
  expect(violations(newest.tensors)).toEqual([]);
  expect(violations(newest.tensors.slice(1))).toEqual(['I5']);
});
