import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { runningEngine, startEngine, stopEngine } from '../../scripts/container-engine.mjs';
import { TEST_IMAGE } from '../../scripts/test-image.mjs';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** A run of this model takes seconds; nothing is dropped, so every layout computes the same. */
export const micro = (steps: number, checkpointEvery: number) => `
name: micro
seed: 7
model: { dModel: 64, numHeads: 2, numDenseLayers: 1, numSparseLayers: 1, dFeedForward: 64, vocabSize: 1024, seqLen: 16 }
moe: { numExperts: 4, router: switch, expertGroups: 2, capacityFactor: null }
data: { domains: [en, code], maxBytesPerDomain: 100000 }
train: { steps: ${steps}, globalBatch: 8, learningRate: 0.01, validateEvery: 10000, checkpointEvery: ${checkpointEvery}, keepCheckpoints: 50 }
`;

export interface Engine {
  /** Ends the engine if these tests started it. */
  readonly close: () => Promise<void>;
}

/** Finds a container engine for a test file, or returns null, after saying why, if there is none. */
export async function openEngine(): Promise<Engine | null> {
  const log = (line: string) => console.log(`[engine] ${line}`);
  const isOurs = runningEngine() === null;
  try {
    process.env.DOCKER_HOST = await startEngine(log);
  } catch (error) {
    console.warn(`SKIPPED: every test with containers: ${(error as Error).message}`);
    return null;
  }
  return { close: () => (isOurs ? stopEngine(log) : Promise.resolve()) };
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Runs a command in the project's folder to its end, or kills it after `timeoutMs`. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { env = {}, timeoutMs = 60_000 } = options;
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** As `run`, and fails the test unless the command ends with 0; returns what it printed. */
export async function must(command: string, args: readonly string[], options?: RunOptions): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, options);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`);
  return stdout;
}

/** Polls until the answer is not null; rarely, as each question starts a `docker`. */
export async function until<T>(what: string, ask: () => Promise<T | null>, timeoutMs = 60_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    const answer = await ask();
    if (answer !== null) return answer;
    await sleep(1_000);
  }
  throw new Error(`waited ${timeoutMs / 1000} s in vain for ${what}`);
}

export interface Step {
  readonly step: number;
  readonly loss: number;
  readonly stepMs: number;
}

/**
 * Returns the steps of a run, from its metrics on a volume. They are copied out of a container that never runs, since
 * what a short-lived one prints may get lost on a busy machine.
 */
export async function stepsOf(volume: string, runId: string): Promise<Step[]> {
  const id = (await must('docker', ['create', '--volume', `${volume}:/work:ro`, TEST_IMAGE])).trim();
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-metrics-'));
  const file = path.join(folder, 'metrics.ndjson');
  await must('docker', ['cp', `${id}:/work/runs/${runId}/metrics.ndjson`, file]);
  await must('docker', ['rm', id]);
  const text = readFileSync(file, 'utf8');
  rmSync(folder, { recursive: true });
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Step & { readonly type: string })
    .filter(({ type }) => type === 'step');
}

/** Returns the greatest relative difference of the losses; fails if the steps are not the same. */
export function difference(a: readonly Step[], b: readonly Step[]): number {
  const steps = (of: readonly Step[]) => of.map(({ step }) => step).join(' ');
  if (a.length === 0 || steps(a) !== steps(b)) throw new Error(`steps ${steps(a)} against ${steps(b)}`);
  return Math.max(...a.map(({ loss }, i) => Math.abs(b[i].loss - loss) / loss));
}
