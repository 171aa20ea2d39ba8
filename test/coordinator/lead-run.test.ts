import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import path from 'node:path';
import type { RunFolder } from '@locmoe/run-format';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { terminalView } from '../../src/cli/terminal-view.js';
import { loadConfig } from '../../src/config/resolve.js';
import type { Coordinator } from '../../src/coordinator/coordinator.js';
import { leadRun } from '../../src/coordinator/lead-run.js';
import { COMMAND_HOST } from '../../src/coordinator/run-host.js';
import type { RunLaunch } from '../../src/coordinator/run-launch.js';
import { TrainerError } from '../../src/errors.js';
import * as libc from '../../src/os/libc.js';
import { createRpcServer, type RpcServer } from '../../src/rpc/server.js';
import { VERSION } from '../../src/rpc/version.js';
import { createRunFolder } from '../../src/run/create-run-folder.js';
import { stepReport } from './coordinator-of.js';
import { OPTIONS } from './saved-run.js';

vi.mock('../../src/os/libc.js', { spy: true });

const STEP = stepReport({ rowBytesTo: [0] });

const TOKEN = 'a-token-of-sixteen-characters';

let runsDir: string;
let rpc: RpcServer;
let shown: string;

beforeEach(() => {
  runsDir = mkdtempSync(path.join(tmpdir(), 'locmoe-lead-'));
  rpc = createRpcServer();
  shown = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    shown += String(text);
    return true;
  });
  vi.spyOn(console, 'error').mockImplementation((text) => {
    shown += `${text}\n`;
  });
});

afterEach(() => {
  vi.restoreAllMocks();
  rpc.close();
  rmSync(runsDir, { recursive: true });
});

/** Describes a run of one rank, whose node `start` plays. */
function lead(start: (coordinator: Coordinator, folder: RunFolder) => void): RunLaunch {
  const config = loadConfig('tiny', { nodes: 1, workersPerNode: 1 });
  const dataset = {
    dir: runsDir,
    key: '',
    vocabSize: 512,
    endOfText: 0,
    tokenizerFile: '',
    tokenizerSha256: '',
    domains: [],
    validationEntropy: 0,
    close: () => undefined,
  };
  const place = { address: '127.0.0.1:1', isSecured: false };
  return {
    command: 'train',
    options: { ...OPTIONS, runsDir },
    resumeOptions: [],
    rpc,
    place,
    token: null,
    host: COMMAND_HOST,
    plan: {
      config,
      dataset,
      checkpoint: null,
      init: null,
      resumed: null,
      adopts: null,
      forkedFrom: null,
      initFrom: null,
    },
    nodes: {
      areReplaceable: false,
      joinTimeoutMs: 10_000,
      start: (leader, folder) => start(leader.current, folder),
      inherit: () => [],
      restart: () => undefined,
      end: async () => undefined,
    },
    view: (run) =>
      terminalView(run, {
        place,
        dataset,
        runsDir,
        samples: false,
        hasPage: false,
        announcement: 'starting',
        token: null,
      }),
    listeners: () => [],
    lingerS: () => 0,
  };
}

/** Returns the files of the runs that this process holds open. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const file = readlinkSync(`/proc/self/fd/${fd}`);
      return file.startsWith(runsDir) ? [file] : [];
    } catch {
      // This was the descriptor of the listing itself.
      return [];
    }
  });
}

it('a run that cannot be locked says so where it is shown', async () => {
  vi.mocked(libc.tryLock).mockReturnValueOnce(constants.errno.EOPNOTSUPP);
  await leadRun(lead((coordinator) => coordinator.lifecycle.abort(new TrainerError('ABORTED', 'enough'))));
  expect(shown).toMatch(/^warning: .*run\.lock cannot be locked here/m);
  expect(openFiles()).toEqual([]);
});

it('a run whose record cannot be written leaves nothing open', async () => {
  const closed: string[] = [];
  const run = leadRun({
    ...lead(() => expect.unreachable()),
    view: ({ logger }) => {
      logger.warn('opens the log');
      const tooFar = () => expect.unreachable();
      return {
        begun: tooFar,
        print: tooFar,
        failed: tooFar,
        finished: tooFar,
        close: () => closed.push('view'),
      };
    },
    listeners: ({ folder }) => {
      mkdirSync(path.join(folder.directory, 'run.json'));
      return [{ close: () => closed.push('listener') }];
    },
  });
  await expect(run).rejects.toThrow(/EISDIR/);
  expect(closed).toEqual(['view', 'listener']);
  expect(openFiles()).toEqual([]);
});

it('a run whose first step cannot be recorded has failed: it was given nothing wrong', async () => {
  const outcome = await leadRun(
    lead((coordinator, folder) => {
      const { node } = coordinator.admission.join({
        host: 'h',
        pid: 1,
        dataAddress: '127.0.0.1:1',
        version: VERSION,
      });
      coordinator.admission.connect(node, '127.0.0.1:1', { send: () => undefined, close: () => undefined });
      coordinator.receive(node, { event: 'ready', ready: {} });
      rmSync(folder.metrics);
      mkdirSync(folder.metrics);
      coordinator.receive(node, { event: 'step', step: STEP });
    }),
  );
  expect(outcome).toMatchObject({ kind: 'failed', exitCode: 3, report: { code: 'NO_RESOURCE' } });
  expect(shown).toMatch(/run failed: .*EISDIR/);
});

it('a run folder that an earlier version left open to other users is shut when it is resumed, and holds the token', async () => {
  const folder = createRunFolder(runsDir, 'tiny');
  chmodSync(folder.directory, 0o755);
  const begun = lead((coordinator) => coordinator.lifecycle.abort(new TrainerError('ABORTED', 'enough')));
  const resumed = { folder, generation: 2, giveUp: () => undefined };
  await leadRun({ ...begun, token: TOKEN, plan: { ...begun.plan, resumed } });
  expect((statSync(folder.directory).mode & 0o777).toString(8)).toBe('700');
  expect(readFileSync(folder.token, 'utf8')).toBe(`${TOKEN}\n`);
});
