import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { makeAll } from '../../all.js';
import { runStudy, temporaryFolder } from '../support.js';

/**
 * Makes reports with these programs; each notes that it ran. @returns the exit code, the programs that ran, and the
 * output
 */
async function make(programs: Readonly<Record<string, string>>, ...args: readonly string[]) {
  const folder = temporaryFolder();
  const ran = path.join(folder, 'ran');
  writeFileSync(ran, '');
  const said: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((line) => said.push(line));
  onTestFinished(() => {
    log.mockRestore();
    process.exitCode = undefined;
  });
  const reports = Object.entries(programs).map(([name, program]) => {
    const note = `require('node:fs').appendFileSync(${JSON.stringify(ran)}, '${name} ');`;
    return [name, ['-e', note + program]];
  });
  await makeAll(Object.fromEntries(reports)).parseAsync(['--work-dir', path.join(folder, 'work'), ...args], {
    from: 'user',
  });
  return { code: process.exitCode, ran: readFileSync(ran, 'utf8').trim(), text: said.join('\n') };
}

it('makes one after the other, and says how long each took', async () => {
  const { code, ran, text } = await make({ plan: '', step: '' });
  expect([code, ran]).toEqual([0, 'plan step']);
  expect(text).toMatch(/^step: made in \d+s$/m);
});

it('goes on after one that fails, and ends as a failure', async () => {
  const { code, ran, text } = await make({ plan: 'process.exit(2)', step: '' });
  expect([code, ran]).toEqual([3, 'plan step']);
  expect(text).toMatch(/^plan: failed with code 2 in \d+s$/m);
});

it('ends at a signal, which the report in the making gets too', async () => {
  const stopped = make({ plan: 'setTimeout(() => {}, 60_000)', step: '' });
  setTimeout(() => process.emit('SIGINT', 'SIGINT'), 1_000);
  await expect(stopped).rejects.toThrow('SIGINT: ended');
});

it('makes those that are named, in its own order, and refuses another name', async () => {
  const programs = { plan: '', step: '', families: '' };
  expect((await make(programs, '--only', 'families,plan')).ran).toBe('plan families');
  await expect(make(programs, '--only', 'family')).rejects.toThrow(
    '--only family: no such part; parts are plan, step, families',
  );
});

it('is one of the studies that the help lists, and another name is refused', async () => {
  const { stdout } = await runStudy('--help');
  expect(stdout).toMatch(/^ {2}recovery \[options\]/m);
  expect(stdout).toMatch(/^ {2}all \[options\]/m);
  await expect(runStudy('recoverry')).rejects.toMatchObject({ code: 2 });
});
