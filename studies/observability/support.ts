import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pageFeature } from '@locmoe/page';
import { startRunHttp } from 'locmoe/internal/cli/run-http';
import { cpuSecondsOf } from 'locmoe/internal/os/process-info';
import { formatAddress } from 'locmoe/internal/rpc/address';
import type { Page } from 'playwright-core';
import { TestBrowser } from '../../packages/page/test/browser.js';
import { startLocmoe, untilSaid } from '../kit/locmoe.js';

/** A figure; figures.yaml says what it is. */
export interface Found {
  /** A number, or counts by name. */
  readonly value: number | Readonly<Record<string, number>>;
  /** Spread or conditions, as text. */
  readonly note: string;
}

/** Verifies what it measures, then measures it. @returns figures by name */
export type Bench = () => Promise<Readonly<Record<string, Found>>>;

/** Fails the bench: timings of wrong results are worthless. */
export function assertEqual(what: string, actual: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: got ${a?.slice(0, 500)}, expected ${b?.slice(0, 500)}`);
}

export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-study-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface TrainingOptions {
  readonly runsDir: string;
  /** Nodes x workers on each. */
  readonly layout: readonly [number, number];
  readonly sets: readonly string[];
  readonly config?: string;
  readonly more?: readonly string[];
}

const TRAINING_TIMEOUT_MS = 300_000;

/** Starts a training of `tiny`, or of another recipe. It is killed if it takes too long. */
export function startTraining(
  { runsDir, layout: [nodes, workers], sets, config = 'tiny', more = [] }: TrainingOptions,
  options: Parameters<typeof startLocmoe>[1] = {},
): ChildProcess {
  const args = [
    ...['train', '--config', config, '--nodes', String(nodes), '--workers-per-node', String(workers)],
    ...['--no-samples', '--runs-dir', runsDir, ...sets.flatMap((set) => ['--set', set]), ...more],
  ];
  return startLocmoe(args, { timeoutMs: TRAINING_TIMEOUT_MS, ...options });
}

/** Address of a run over HTTP, and the header that authorizes a request. */
export interface RunHttp {
  readonly address: string;
  readonly headers: { readonly authorization: string };
}

/** Reads the address from the output of the run. */
export async function httpOf(run: ChildProcess): Promise<RunHttp> {
  const page = /page: http:\/\/([^\s/]+)\/\?token=([^#]+)#/;
  const [, address, token] = await untilSaid(run, page, 'its HTTP address');
  return { address: address!, headers: { authorization: `Bearer ${token}` } };
}

/** Processor time of processes in s; those that have ended count for nothing. */
export function cpuSecondsOfAll(pids: readonly number[]): number {
  const secondsOf = (pid: number) => {
    try {
      return cpuSecondsOf(pid);
    } catch {
      return 0;
    }
  };
  return pids.reduce((sum, pid) => sum + secondsOf(pid), 0);
}

/**
 * Serves the page of the runs in a folder, and opens a browser. Needs Chromium and `npm run build`.
 *
 * @throws Error without a browser
 */
export async function withPage<T>(runsDir: string, work: (tab: Page, url: string) => Promise<T>): Promise<T> {
  const browser = await TestBrowser.open();
  const page = pageFeature(runsDir);
  const server = await startRunHttp({ http: '127.0.0.1:0', runsDir, page }, null, null);
  try {
    if (server === null) throw new Error('no server');
    return await work(await browser.page('about:blank'), `http://${formatAddress(server.address)}`);
  } finally {
    await browser.close();
    await server?.close();
  }
}
