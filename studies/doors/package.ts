import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { TrainerError } from 'locmoe/internal/errors';
import type { PartPlace } from '../kit/parts.js';
import type { DoorPart } from './figures.js';

/** The checkout that this module is part of. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Installing and setting up end long before. */
const DEADLINE_MS = 1_800_000;
const FIRST_STEP = /^step +\d+\//m;

/**
 * Seconds from an empty folder with the packed package beside it to the first step of a training on own text:
 * `npm install`, TensorFlow's set-up, tokenizer and data. Caches are those of the user with `quick`, else empty, so that
 * all is downloaded.
 *
 * @throws TrainerError `NO_RESOURCE` with the last line of the command that failed
 */
export const packagePart: DoorPart = async (context) => {
  const { quick, workDir, log } = context;
  const caches = path.join(workDir, 'caches');
  const env = quick ? {} : { npm_config_cache: path.join(caches, 'npm'), XDG_CACHE_HOME: caches };
  const empty = path.join(workDir, 'empty');
  mkdirSync(empty);
  // If there is none, npm installs into the folder above that has one, which is the checkout if runs/ lies in it.
  writeFileSync(path.join(empty, 'package.json'), '{}');
  cpSync(path.join(ROOT, 'docs'), path.join(workDir, 'notes'), {
    recursive: true,
    filter: (file) => !/\.(png|svg)$/.test(file),
  });
  const packed = await run(context, ROOT, env, ['npm', 'pack', '--silent', '--pack-destination', workDir]);
  const archive = path.join(workDir, packed.trim());

  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  await run(context, empty, env, ['npm', 'install', '--silent', archive]);
  log(`installed after ${seconds().toFixed(1)} s`);
  const args = ['locmoe', 'train', '--text', '../notes/**/*.md', '--no-http', '--no-samples'];
  await run(context, empty, env, ['npx', ...args], FIRST_STEP);
  const packageInstallS = seconds();
  for (const folder of [caches, empty]) rmSync(folder, { recursive: true, force: true });
  return {
    figures: { packageInstallS },
    notes:
      `From \`npm install\` in an empty folder to the first step of \`locmoe train --text\` on the pages of docs/; ` +
      `${quick ? 'packages come from the caches of npm and locmoe' : 'all packages are downloaded'}.`,
  };
};

/** Runs a command to its end, or until its output matches: it then gets Ctrl-C. */
async function run(
  { signal }: PartPlace,
  cwd: string,
  env: Readonly<Record<string, string>>,
  [program, ...args]: readonly [string, ...string[]],
  until?: RegExp,
): Promise<string> {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, detached: true });
  const kill = (how: NodeJS.Signals) => {
    // The signal goes to its group, which has all that it starts; it may have ended meanwhile.
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, how);
  };
  const onAbort = () => kill('SIGTERM');
  const timer = setTimeout(() => kill('SIGKILL'), DEADLINE_MS);
  signal.addEventListener('abort', onAbort);
  let [output, isReached] = ['', false];
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += chunk;
      if (isReached || !until?.test(output)) return;
      isReached = true;
      kill('SIGINT');
    });
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    signal.throwIfAborted();
    if (until === undefined ? code === 0 : isReached) return output;
    const why = output.trim().split('\n').at(-1) || `code ${code}`;
    throw new TrainerError('NO_RESOURCE', `${[program, ...args].join(' ')} failed: ${why}`);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
