import { type LayerNumbers, reportMeasures } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { AgentEventRules } from '../../src/coordinator/agent-messages.js';
import { ERROR_CODES } from '../../src/errors.js';
import type { AgentEvent } from '../../src/rpc/generated/messages.js';
import { loadProto } from '../../src/rpc/load-proto.js';
import type { RunState } from '../../src/run/run-state.js';
import { stepReport } from './coordinator-of.js';

// Node 1 has ranks 2 and 3.
const config = loadConfig('tiny', { nodes: 2, workersPerNode: 2 });
const rules = new AgentEventRules(config, 3);
const { numExperts } = config.moe;

const byExpert = Array.from({ length: numExperts }, () => 1);
const measures = {
  routed: byExpert,
  kept: byExpert,
  overCapacity: byExpert,
  notChosen: byExpert,
  capacity: byExpert,
  sameWorker: 1,
  sameNode: 0,
  otherNode: 0,
  gateCosine: [-0.5, 1],
};
const layerWith = (change: LayerNumbers, others: object = {}) => ({
  layer: config.model.numDenseLayers,
  rowBytes: 4,
  measures: { ...reportMeasures([{ ...measures, ...change }]), ...others },
});
const step = stepReport({
  rank: 2,
  rowBytesTo: [0, 64, 0, 64],
  partsMs: { forward: 1, backward: 1, exchange: -1e-13, allReduce: 1, optimizer: 1, waiting: 0 },
  startMs: {},
  layers: [layerWith({})],
});
const worker = {
  rank: 3,
  pid: 1,
  step: 0,
  phase: '',
  operation: '',
  processState: 'R',
  residentBytes: 1,
  idleMs: 0,
  layer: -1,
  sequence: 0,
  waitingFor: -1,
  stalledMs: 0,
  stoppedMs: 0,
};
const failure = {
  rank: 2,
  pid: 0,
  code: 'INTERNAL',
  message: 'x',
  step: -1,
  layer: -1,
  operation: '',
  timeMs: 1,
  exitCode: -1,
  signal: '',
};
const [domain] = config.data.domains;
const validation = { step: 1, domains: [{ domain, loss: 1, tokens: 1 }] };
const saving = {
  rank: 2,
  step: 7,
  generation: 3,
  bytes: 9,
  isLast: false,
  sharedCrc32: 7,
  keepStep: -1,
  metrics: { loss: 1 },
};
const file = { file: 'experts-2-of-4.safetensors', bytes: 9, sha256: 'a'.repeat(64), tensors: ['x'] };
const shards = { rank: 2, step: 7, generation: 3, files: [file], noRoom: '' };

const withLayer = (...changes: Parameters<typeof layerWith>) => ({
  step: { ...step, layers: [layerWith(...changes)] },
});
const five = { counts: [5], values: [] };
const withFile = (change: object) => ({ shards: { ...shards, files: [{ ...file, ...change }] } });

const check = (event: object, node = 1, state: RunState['kind'] = 'running') =>
  rules.assertAllowed(event as AgentEvent, node, state);

describe('what a node agent sends', () => {
  it('is taken', () => {
    check({ step });
    check({ heartbeat: { workers: [{ ...worker, rank: 2 }, worker], logQueueLines: 0 } });
    for (const code of ERROR_CODES) check({ failure: { ...failure, code } });
    check({ validation }, 0);
    check({ saving });
    check({ shards });
    const shared = { ...file, file: 'shared.safetensors' };
    check({ shards: { ...shards, rank: 0, files: [shared] } }, 0);
    check({ logs: { lines: ['x'], dropped: 0 } }, 1, 'waiting');
    check({ stop: { reason: 'x' } });
    check({ ready: {} }, 1, 'starting');
    for (const state of ['running', 'stopping', 'failed'] as const)
      check({ finished: { stoppedEarly: true } }, 1, state);
  });
});

describe('refused is', () => {
  it.each([
    ['an empty event', {}, /^it sent an empty event$/],
    ['the step of another node', { step: { ...step, rank: 1 } }, /^it sent `step` that is invalid: rank: /],
    ['a loss that is no number', { step: { ...step, loss: Number.NaN } }, /: loss: /],
    ['negative bytes', { step: { ...step, bytesOtherNode: -1 } }, /: bytesOtherNode: /],
    ['a number of no measure', { step: { ...step, measures: { lunch: 1 } } }, /: measures: /],
    ['bytes to too few ranks', { step: { ...step, rowBytesTo: [0, 64] } }, /: rowBytesTo/],
    ['an unknown part', { step: { ...step, partsMs: { lunch: 1 } } }, /: partsMs/],
    ['an unknown part of a start', { step: { ...step, startMs: { lunch: 1 } } }, /: startMs/],
    ['a layer of no expert', withLayer({ kept: [1] }), /: layers\.0: kept has 1 numbers instead of 8$/],
    ['a choice less than none', withLayer({ kept: byExpert.with(1, -1) }), /: layers\.0: kept: is no list/],
    ['a mean of one number', withLayer({ gateCosine: [0.5] }), /0: gateCosine has 1 numbers/],
    ['a number of no layer', withLayer({}, { lunch: five }), /0: lunch is no measure/],
    ['a measure that is missing', withLayer({ routed: undefined as never }), /0: routed: is no list/],
    ['half a choice', withLayer({ sameNode: 0.5 }), /0: sameNode: /],
    ['a derived number', withLayer({}, { bytes: five }), /0: bytes is no measure/],
    [
      'a foreign heartbeat',
      { heartbeat: { workers: [{ ...worker, rank: 4 }], logQueueLines: 0 } },
      /0\.rank/,
    ],
    [
      'a rank twice over',
      { heartbeat: { workers: [worker, worker, worker], logQueueLines: 0 } },
      /workers: /,
    ],
    ['validation by another node', { validation }, /: step: /],
    [
      'a foreign failure',
      { failure: { ...failure, rank: 77 } },
      /^it sent `failure` that is invalid: rank: /,
    ],
    ['part of a save of another generation', { saving: { ...saving, generation: 2 } }, /: generation: /],
    ['shards of another node', { shards: { ...shards, rank: 1 } }, /: rank: /],
    ['a file of another rank', withFile({ file: 'experts-1-of-4.safetensors' }), /this rank does not write/],
    ['a file of no checkpoint', withFile({ file: '../etc/passwd' }), /this rank does not write/],
    ['a file twice', { shards: { ...shards, files: [file, file] } }, /this rank does not write/],
    ['a digest that is none', withFile({ sha256: 'abc' }), /sha256: is no SHA-256/],
    ['a failure for no known reason', { failure: { ...failure, code: 'BORED' } }, /: code: /],
  ])('%s', (_what, event, message) => {
    expect(() => check(event)).toThrow(message);
  });

  it('one event that says two things, as its bytes may', () => {
    const { requestSerialize, requestDeserialize } = loadProto(
      'coordinator',
      'locmoe.coordinator.v1.Coordinator',
    ).Session;
    const bytes = [{ stop: { reason: 'x' } }, { failure: { ...failure, rank: 77 } }].map(requestSerialize);
    const event = requestDeserialize(Buffer.concat(bytes));
    expect(event).toMatchObject({ failure: { rank: 77 } });
    expect(() => check(event)).toThrow(/^it sent `stop` and `failure` in one event$/);
  });

  it('what is not of this run', () => {
    const foreign = { ...validation, domains: [{ domain: 'zz', loss: 1, tokens: 1 }] };
    expect(() => check({ validation: foreign }, 0)).toThrow(/domains\.0\.domain/);
  });

  it.each([
    [{ step }, 'starting'],
    [{ failure }, 'waiting'],
    [{ ready: {} }, 'waiting'],
    [{ ready: {} }, 'running'],
    [{ finished: { stoppedEarly: false } }, 'starting'],
  ] as const)('%j while the run is %s', (event, state) => {
    expect(() => check(event, 1, state)).toThrow(`while the run is ${state}`);
  });
});
