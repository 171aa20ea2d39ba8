import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { workMark } from 'locmoe/internal/os/work-folder';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { NO_SMALL_DISK, smallDisk } from '../../logs/test/small-disk.js';
import { EXPORT_FILE, type OutputFolder, writeFolder } from '../src/output-folder.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'locmoe-output-'));
  const folder = root;
  onTestFinished(() => rmSync(folder, { recursive: true }));
});

/** Writes an export whose model is the text `model`. */
async function write(place: string, model: string): Promise<void> {
  await writeFolder(place, (output) => output.write('model/weights', model));
}

const contentsOf = (folder: string) => readFileSync(path.join(folder, 'model/weights'), 'utf8');
const refusal = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

it('a folder is written with those on the way to it, and replaced by the next export', async () => {
  const folder = path.join(root, 'deep/er/out');
  await write(folder, 'first');
  await write(`${folder}/`, 'second');
  expect(contentsOf(folder)).toBe('second');
  expect(readdirSync(path.join(root, 'deep/er'))).toEqual(['out']);
});

it('what a killed export left is removed by the next that succeeds, and not by one that fails', async () => {
  const folder = path.join(root, 'out');
  // More than a process id can be.
  const killed = `${folder}.writing-${workMark().replace(`-${process.pid}-`, '-4194305-')}`;
  const others = [`${folder}.writing-${workMark()}`, path.join(root, 'out.writing-notes')];
  for (const each of [killed, `${killed}.old`, ...others]) {
    mkdirSync(each);
    writeFileSync(path.join(each, 'stale'), '');
  }
  const failed = writeFolder(folder, () => Promise.reject(new Error('no such model')));
  await expect(failed).rejects.toThrow('no such model');
  expect(existsSync(`${killed}.old`)).toBe(true);
  await write(folder, 'new');
  expect(readdirSync(folder).sort()).toEqual([EXPORT_FILE, 'model']);
  expect(readdirSync(root).sort()).toEqual(['out', ...others.map((each) => path.basename(each))].sort());
});

describe('what an export did not write is not touched', () => {
  it('a folder with other files, a file, and a file on the way', async () => {
    mkdirSync(path.join(root, 'mine'));
    writeFileSync(path.join(root, 'mine/notes'), 'x');
    writeFileSync(path.join(root, 'file'), 'x');
    const taken = refusal('NO_RESOURCE', /^--output .*: it exists and `locmoe export` did not write it/);
    await expect(write(path.join(root, 'mine'), '')).rejects.toThrow(taken);
    await expect(write(path.join(root, 'file'), '')).rejects.toThrow(taken);
    const below = path.join(root, 'file/out');
    await expect(write(below, '')).rejects.toThrow(
      refusal('NO_RESOURCE', /^--output .*file\/out: it cannot be/),
    );
    expect(readdirSync(root).sort()).toEqual(['file', 'mine']);
    expect(readdirSync(path.join(root, 'mine'))).toEqual(['notes']);
  });

  it.each([
    [
      'a file that was added',
      (folder: string) => writeFileSync(path.join(folder, 'NOTES.md'), 'x'),
      'holds NOTES.md',
    ],
    [
      'a repository in it',
      (folder: string) => {
        mkdirSync(path.join(folder, '.git'));
        writeFileSync(path.join(folder, '.git/HEAD'), 'x');
      },
      'holds .git/HEAD',
    ],
    [
      'a file that was changed',
      (folder: string) => writeFileSync(path.join(folder, 'model/weights'), 'mine'),
      'model/weights in it was changed',
    ],
    [
      'a link in the place of a file',
      (folder: string) => {
        rmSync(path.join(folder, 'model/weights'));
        symlinkSync('/dev/zero', path.join(folder, 'model/weights'));
      },
      'model/weights in it was changed',
    ],
  ])('%s', async (_, change, message) => {
    const folder = path.join(root, 'out');
    await write(folder, 'first');
    change(folder);
    const before = readdirSync(folder, { recursive: true });
    await expect(write(folder, 'second')).rejects.toThrow(message);
    expect(readdirSync(folder, { recursive: true })).toEqual(before);
    expect(readdirSync(root)).toEqual(['out']);
  });

  it('what is put there while an export is being written', async () => {
    const folder = path.join(root, 'out');
    await write(folder, 'first');
    const late = writeFolder(folder, async (output) => {
      await output.write('model/weights', 'second');
      writeFileSync(path.join(folder, 'NOTES.md'), 'x');
    });
    await expect(late).rejects.toThrow('it holds NOTES.md');
    expect(contentsOf(folder)).toBe('first');
  });

  it('the folder where one is, and those that it is in', async () => {
    const here = refusal('BAD_INPUT', /give a folder below the current one$/);
    for (const place of ['', '.', '..', process.cwd(), '/'])
      await expect(write(place, ''), place).rejects.toThrow(here);
  });
});

describe('an export that does not come to its end leaves what was there', () => {
  /** Tries to replace an export and to write a new one; both fail. */
  async function fails(fill: (output: OutputFolder) => Promise<void>, expected: unknown, disk = root) {
    const earlier = path.join(disk, 'earlier');
    await write(earlier, 'earlier');
    const deep = path.join(disk, 'deep/out');
    for (const place of [earlier, deep])
      await expect(writeFolder(place, fill)).rejects.toThrow(expected as Error);
    expect(readdirSync(disk)).toEqual(['earlier']);
    expect(contentsOf(earlier)).toBe('earlier');
  }

  it('after an error', async () => {
    await fails(async (output) => {
      await output.write('model/weights', 'half');
      throw new Error('no such model');
    }, new Error('no such model'));
  });

  it('after a signal', async () => {
    await fails(
      async (output) => {
        await output.write('model/weights', 'half');
        process.kill(process.pid, 'SIGHUP');
        // The signal is handled when the event loop turns.
        for (let i = 0; i < 1000; i++) await output.write(`part ${i}`, 'x');
      },
      refusal('INTERRUPTED', /^SIGHUP: nothing was exported$/),
    );
  });

  it('on a full disk', async ({ skip }) => {
    const disk = smallDisk(1 << 20) ?? skip(NO_SMALL_DISK);
    await fails(
      (output) => output.write('model/weights', new Uint8Array(2 << 20)),
      refusal('DISK_FULL', /model\/weights \(stopped after \d+ bytes\): ENOSPC.*; free some space$/),
      disk,
    );
  });
});

it('a folder on its own disk cannot be replaced by a rename, and says so', async ({ skip }) => {
  const disk = smallDisk(1 << 20) ?? skip(NO_SMALL_DISK);
  await expect(write(disk, '')).rejects.toThrow(refusal('NO_RESOURCE', /^--output .*: it cannot be .*EBUSY/));
  expect(existsSync(disk)).toBe(true);
  expect(readdirSync(disk)).toEqual([]);
});
