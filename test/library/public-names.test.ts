import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { ROOT } from '../e2e/support.js';

/** Names that a file exports, types included. */
function namesOf(file: string): string[] {
  const source = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8');
  return [...source.matchAll(/^export (?:type )?\{([^}]*)\}/gm)]
    .flatMap(([, names]) => names.split(','))
    .map((name) =>
      name
        .trim()
        .replace(/^type /, '')
        .replace(/^.* as /, ''),
    )
    .filter((name) => name !== '')
    .sort();
}

/** The libraries and native code that a program has loaded after `import(name)`. */
function loadedBy(name: string): string {
  const hook = `export async function resolve(...args) {
    const found = await args[2](...args.slice(0, 2));
    process._rawDebug(found.url);
    return found;
  }`;
  const program = `
    import { register } from 'node:module';
    const before = process.listenerCount('SIGINT') + process.listenerCount('SIGTERM');
    const { emitWarning } = process;
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}));
    await import('${name}');
    for (const file of process.report.getReport().sharedObjects) console.error(file);
    if (process.listenerCount('SIGINT') + process.listenerCount('SIGTERM') !== before) console.error('SIGNALS');
    if (process.emitWarning !== emitWarning) console.error('WARNINGS');`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  expect(status, stderr).toBe(0);
  return stderr;
}

const HEAVY = /@grpc|koffi|@tensorflow|libtensorflow|onnx|@locmoe\/(?:page|bench|export)|SIGNALS|WARNINGS/g;

it('locmoe exports these names; a change is a change for users', () => {
  expect(namesOf('library/index.ts')).toEqual([
    'DomainLoss',
    'ERROR_CODES',
    'ErrorCode',
    'EvaluateOptions',
    'FailureReport',
    'GenerateOptions',
    'GlobalLayer',
    'GlobalStep',
    'Message',
    'Model',
    'PrepareOptions',
    'PrepareProgress',
    'PreparedDomain',
    'PreparedText',
    'Router',
    'RouterContext',
    'RouterInput',
    'RouterPolicy',
    'RoutingDecision',
    'Run',
    'RunConfig',
    'TrainOptions',
    'TrainerError',
    'Training',
    'TrainingEvent',
    'TrainingResult',
    'VERSION',
    'defineRouter',
    'listRuns',
    'loadConfig',
    'loadModel',
    'openRun',
    'prepareText',
    'recipeNames',
    'train',
  ]);
});

it('locmoe/routing exports these names, for files of users', () => {
  expect(namesOf('routing/public.ts')).toEqual([
    'Choice',
    'FirstFit',
    'GateControl',
    'LossInput',
    'ParameterSpec',
    'Router',
    'RouterContext',
    'RouterInput',
    'RouterParameter',
    'RouterPolicy',
    'RoutingDecision',
    'Rule',
    'Scores',
    'ShortRule',
    'add',
    'balanceLoss',
    'classicCapacity',
    'classicFit',
    'controlled',
    'cosine',
    'cosineOfChoices',
    'countBytes',
    'defineRouter',
    'denseGateCosines',
    'denseGateLogits',
    'denseGateSpecs',
    'divide',
    'exp',
    'firstFit',
    'gatherCounts',
    'gatherRows',
    'grouped',
    'groupedCosine',
    'heldExperts',
    'keepToGroup',
    'linear',
    'multiply',
    'ofId',
    'parameter',
    'readFloats',
    'relu',
    'sigmoid',
    'softmax',
    'subtract',
    'tanh',
    'tf',
    'top',
    'topOfGroups',
    'topP',
    'z',
  ]);
});

it('an import of locmoe loads no TensorFlow, gRPC or native code, and changes nothing in its process', () => {
  expect(loadedBy('locmoe').match(HEAVY)).toBeNull();
  expect(loadedBy('locmoe/internal/rpc/server').match(HEAVY)).toContain('@grpc');
});
