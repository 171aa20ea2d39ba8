import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { addCommands } from '@locmoe/bench';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.js';
import { loadConfig } from '../../src/config/resolve.js';
import { skipLoudly } from '../debian-tool.js';
import { NIGHTLY } from '../nightly.js';
import { documentedCommands, pathWithCommands } from './documented-commands.js';
import { DATA_DIR, Locmoe, ROOT } from './support.js';
import {
  AFTERWARDS,
  AGAINST_TORCH,
  BENCHES,
  CERTS,
  CONFIG,
  DOCTOR,
  ELSEWHERE,
  FLIGHT,
  FOLLOWING,
  FORK,
  HERE,
  HTTP,
  JQ,
  MATCH_OR_NOT,
  now,
  ONE_NODE,
  OWN_PROMPT,
  OWN_TEXT,
  PAGES,
  PLANS,
  type Printing,
  RESUME,
  STATUS,
  STOP,
  TENSORBOARD,
  TRAIN,
} from './typed-commands.js';

/**
 * A step of the recipe keeps both cores busy for a third of a second; the sleep leaves them to the commands typed
 * meanwhile.
 */
const UNHURRIED = { LOCMOE_FAIL: 'step.begun:*:sleep=500' };

const { commands, names } = documentedCommands();
const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-documented-'));
/** Id of the newest run, which replaces placeholders; known once the first run has begun. */
let runId = 'none';
let PATH = '';

beforeAll(() => {
  PATH = pathWithCommands(folder);
  mkdirSync(DATA_DIR, { recursive: true });
  symlinkSync(DATA_DIR, path.join(folder, 'data'));
  mkdirSync(path.join(folder, 'deploy/kubernetes'), { recursive: true });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The program with all its commands replaced by no-ops; unknown commands and options throw. */
async function idleProgram(): Promise<Command> {
  const program = new Command('locmoe').exitOverride();
  for (const [name, { load }] of Object.entries(COMMANDS)) (await load())(program.command(name));
  addCommands(program);
  const idle = (command: Command): void => {
    command.action(() => undefined);
    for (const each of command.commands) idle(each);
  };
  for (const command of program.commands) idle(command);
  return program;
}

/** Types a command into a shell, with the run and the paths in place of its placeholders. */
function type(command: string, env: Readonly<Record<string, string>> = {}): Locmoe {
  const line = command
    .replaceAll(/\bRUN\b|tiny-\d{8}-\d{6}/g, runId)
    .replaceAll(/\bstep-\d{6}/g, newestCheckpoint);
  // Like an interactive shell, it outlives Ctrl-C and tells how the command ended.
  return new Locmoe([`trap : INT; ${line}`], { PATH, ...env }, ['sh', '-c'], folder);
}

function newestCheckpoint(): string {
  return readdirSync(path.join(folder, 'runs', runId, 'checkpoints'))
    .sort()
    .at(-1)!;
}

async function expectEnd(run: Locmoe, ...codes: readonly number[]): Promise<string> {
  const finished = await run.finished;
  expect(codes, run.output).toContain(finished.code);
  await run.expectNothingLeft();
  return finished.stdout;
}

/** Runs a command to its end and expects its output to match. */
async function expectPrintedWith([
  command,
  printed,
  codes = [0],
]: (typeof AFTERWARDS)[number]): Promise<void> {
  expect(await expectEnd(type(command), ...codes), command).toMatch(printed);
}

/** The same for a command that must exit with 0. */
function expectPrinted(printing: Printing): Promise<void> {
  return expectPrintedWith(printing);
}

async function startTraining(command: string): Promise<Locmoe> {
  const run = type(command, UNHURRIED);
  [, runId] = await run.until(/run ([a-z]+-\d\S+):/);
  await run.until(/^step +\d+\/\d+/m);
  return run;
}

describe('README.md and docs', () => {
  it('tell to type nothing but what is run here, or elsewhere', () => {
    const missing = [...commands].filter(
      (command) => !HERE.includes(command) && !ELSEWHERE.some(([pattern]) => pattern.test(command)),
    );
    expect(missing, 'commands that nothing runs').toEqual([]);
    expect(
      HERE.filter((command) => !commands.has(command)),
      'not documented any more',
    ).toEqual([]);
    const unused = ELSEWHERE.filter(([pattern]) => ![...commands].some((command) => pattern.test(command)));
    expect(unused, 'not documented any more').toEqual([]);
    const tests = ELSEWHERE.flatMap(([, where]) =>
      /^[\w-]+\/[\w-]+$/.test(where) ? `test/${where}.test.ts` : [],
    );
    expect(tests.filter((file) => !existsSync(path.join(ROOT, file)))).toEqual([]);
  });

  it('end no prompt with a space, which would be a token of its own', () => {
    expect([...commands].filter((command) => /prompt"?:? (["'])[^"']* \1/.test(command))).toEqual([]);
  });

  it('give clusters sizes that their recipe divides into', () => {
    const sizes = [...commands].filter((command) => /\b(NODES|WORKERS)=/.test(command));
    expect(sizes.length).toBeGreaterThan(1);
    for (const command of sizes) {
      const of = (name: string, byDefault: string) =>
        new RegExp(`\\b${name}=(\\S+)`).exec(command)?.[1] ?? byDefault;
      const layout = { nodes: Number(of('NODES', '2')), workersPerNode: Number(of('WORKERS', '2')) };
      expect(() => loadConfig(of('CONFIG', 'tiny'), { sets: [], ...layout }), command).not.toThrow();
    }
  });

  it('name subcommands and scripts that there are', async () => {
    const { scripts } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    for (const command of commands) {
      const script = /^npm run (\S+)/.exec(command)?.[1];
      if (script !== undefined) expect(Object.keys(scripts)).toContain(script);
      const file = /^(?:node |cp )?((?:scripts|packages|docs)\/\S+)/.exec(command)?.[1];
      if (file !== undefined) expect(existsSync(path.join(ROOT, file)), file).toBe(true);
    }
    for (const name of names) {
      let command: Command | undefined = await idleProgram();
      for (const word of name.split(' ')) command = command?.commands.find((each) => each.name() === word);
      expect(command, name).toBeDefined();
    }
  });

  it('give commands options and values that they take', async () => {
    const lines = [...commands].flatMap((command) => /^(?:npx )?locmoe (.*)/.exec(command)?.[1] ?? []);
    expect(lines.length).toBeGreaterThan(50);
    for (const line of lines) {
      const words = line.match(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)!.map((word) => word.replace(/['"]/g, ''));
      const end = words.findIndex((word) => /^[|>&]/.test(word));
      const program = await idleProgram();
      program.parse(end < 0 ? words : words.slice(0, end), { from: 'user' });
    }
  });
});

describe('a run as README.md tells it', () => {
  it('is trained, watched and stopped', async () => {
    const run = await startTraining(TRAIN);
    const following = FOLLOWING.map((command) => type(command));
    await Promise.all(STATUS.map(expectPrinted));
    for (const { child } of following) expect(child.exitCode).toBe(null);
    await expectPrinted([STOP, /asked the coordinator/]);
    await expectEnd(run, 130);
    for (const logs of following) await expectEnd(logs, ...MATCH_OR_NOT);
  });

  it('answers when it is over', async () => {
    await Promise.all(now(AFTERWARDS).map(expectPrintedWith));
  });

  it('goes through jq', async ({ skip }) => {
    if (spawnSync('jq', ['--version']).error !== undefined) skipLoudly(skip, 'no jq');
    await expectPrinted([JQ, /^"checkpoint saved"$/m]);
  });

  it.runIf(NIGHTLY)('is resumed, loses a worker, goes on by itself, and explains what happened', async () => {
    const run = await startTraining(RESUME);
    process.kill(run.pidsOf('worker')[0], 'SIGKILL');
    await run.until(/^recovered: /m);
    run.interrupt();
    await expectEnd(run, 130);
    await expectPrinted([FLIGHT, /rank/]);
  });

  it.runIf(NIGHTLY)('is branched', async () => {
    const from = runId;
    const run = await startTraining(FORK);
    expect(runId).not.toBe(from);
    run.interrupt();
    await expectEnd(run, 130);
  });

  it.runIf(NIGHTLY)('serves metrics, and writes events', async () => {
    const run = await startTraining(HTTP);
    const { headers } = await run.http();
    const metrics = await fetch('http://127.0.0.1:9464/metrics', { headers });
    expect(await metrics.text()).toContain('locmoe_step');
    run.interrupt();
    await expectEnd(run, 130);

    const recorded = await startTraining(TENSORBOARD);
    expect(readdirSync(path.join(folder, 'events', runId))).toEqual([
      expect.stringMatching(/^events\.out\.tfevents\./),
    ]);
    recorded.interrupt();
    await expectEnd(recorded, 130);
  });

  it.runIf(NIGHTLY)('has one node if told so', async () => {
    const run = await startTraining(ONE_NODE);
    expect(run.output).toMatch(/^step +\d+\/200/m);
    // A spare may be there already.
    expect(run.pidsOf('worker').length).toBeGreaterThanOrEqual(4);
    expect(run.pidsOf('agent')).toHaveLength(1);
    run.interrupt();
    await expectEnd(run, 130);
  });
});

describe('text of your own', () => {
  it.runIf(NIGHTLY)('is trained on, and continued', async () => {
    cpSync(path.join(ROOT, 'docs/architecture.md'), path.join(folder, 'notes/2026/architecture.txt'));
    const run = await startTraining(OWN_TEXT);
    run.interrupt();
    await expectEnd(run, 130);
    await expectPrinted(OWN_PROMPT);
  });
});

describe('the other commands', () => {
  it('make certificates', async () => {
    for (const command of NIGHTLY ? CERTS : CERTS.slice(1)) await expectPrinted([command, /token/]);
  });

  it.each(now([...DOCTOR, ...CONFIG, ...PLANS]))('%s', async (command, printed) => {
    await expectPrinted([command, printed]);
  });

  it.each(now(PAGES))('%s', async (command, printed) => {
    const page = type(command);
    await page.until(printed);
    page.interrupt();
    await expectEnd(page, 0);
  });

  it.runIf(NIGHTLY).each(BENCHES)('%s', async (command, printed) => {
    const bench = type(command);
    await bench.until(printed);
    bench.interrupt();
    await expectEnd(bench, 130);
  });

  it.runIf(NIGHTLY)(AGAINST_TORCH, async () => {
    const bench = type(AGAINST_TORCH);
    const [begun] = await bench.until(/^PyTorch \S+ of |bench\/peers\/install\.sh/m);
    const isMeasuring = begun.startsWith('PyTorch');
    if (isMeasuring) bench.interrupt();
    await expectEnd(bench, isMeasuring ? 130 : 2);
  });
});
