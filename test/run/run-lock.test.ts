import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { constants, hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import * as libc from '../../src/os/libc.js';
import { claimRun } from '../../src/run/run-lock.js';
import { runLedAt } from '../../src/run/run-token.js';

vi.mock('../../src/os/libc.js', { spy: true });

const noWarning = (line: string) => expect.unreachable(line);

let folder: RunFolder;
beforeEach(() => {
  folder = new RunFolder(mkdtempSync(path.join(tmpdir(), 'locmoe-lock-')));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder.directory, { recursive: true });
});

describe('a claimed run', () => {
  it('is refused to others until it is given up, and they hear who holds it', async () => {
    writeFileSync(folder.lock, 'what a kill left of the one before');
    const giveUp = await claimRun(folder, noWarning);
    await expect(claimRun(folder, noWarning)).rejects.toMatchObject({
      code: 'BAD_INPUT',
      message: expect.stringMatching(
        new RegExp(
          `^run ${folder.runId} is held by process ${process.pid} on ${hostname()} since 20.*--fork$`,
        ),
      ),
    });
    giveUp();
    (await claimRun(folder, noWarning))();
  });

  it('is found at the port on which its holder listens', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    expect(runLedAt({ host: 'localhost', port })).toBeNull();
    const giveUp = await claimRun(folder, noWarning);
    expect(runLedAt({ host: 'localhost', port })?.directory).toBe(folder.directory);
    expect(runLedAt({ host: 'elsewhere.example', port })).toBeNull();
    giveUp();
  });

  it('is not kept by a child that outlives its holder', async () => {
    const giveUp = await claimRun(folder, noWarning);
    const child = spawn('sleep', ['60']);
    await once(child, 'spawn');
    giveUp();
    try {
      (await claimRun(folder, noWarning))();
    } finally {
      child.kill();
    }
  });

  it('waits for its holder to name itself rather than to name the one before', async () => {
    const giveUp = await claimRun(folder, noWarning);
    const name = readFileSync(folder.lock);
    writeFileSync(
      folder.lock,
      JSON.stringify({ ...JSON.parse(String(name)), process: 'an earlier one', pid: 1 }),
    );
    const refused = claimRun(folder, noWarning).catch((error: Error) => error.message);
    writeFileSync(folder.lock, name);
    expect(await refused).toContain(`process ${process.pid} `);
    giveUp();
  });
});

it('a file system without locks is warned of, and the run goes on', async () => {
  vi.mocked(libc.tryLock).mockReturnValueOnce(constants.errno.EOPNOTSUPP);
  const warnings: string[] = [];
  (await claimRun(folder, (line) => warnings.push(line)))();
  expect(warnings).toEqual([
    expect.stringMatching(/run\.lock cannot be locked here \((EOPNOTSUPP|ENOTSUP)\)/),
  ]);
});
