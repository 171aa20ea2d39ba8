import { mkdtempSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import { afterAll, expect, it } from 'vitest';
import { lineView, type ViewOptions } from '../../src/cli/run-lines.js';
import type { OpenRun } from '../../src/coordinator/run-view.js';
import { keepToken } from '../../src/run/run-token.js';
import { config } from '../checkpoint/fixture.js';

const folder = new RunFolder(mkdtempSync(path.join(tmpdir(), 'locmoe-run-lines-')));
afterAll(() => rmSync(folder.directory, { recursive: true }));

/** The first lines of a run, below its name. */
function openingLines(place: Partial<ViewOptions['place']>, token: string | null): string[] {
  const run = {
    identity: { runId: 'r', config },
    folder,
    forkedFrom: null,
    initFrom: null,
  } as unknown as OpenRun;
  const address = { address: '127.0.0.1:50051', http: '127.0.0.1:8080' };
  const options = { place: { ...address, ...place }, announcement: '', hasPage: true, token } as ViewOptions;
  const lines: string[] = [];
  lineView(run, options, (line) => lines.push(line)).begun();
  return lines.slice(1);
}

it('an address that is printed without its token says where that is', () => {
  const page = 'page: http://127.0.0.1:8080/#run=r';
  expect(openingLines({}, 'secret')).toEqual(['page: http://127.0.0.1:8080/?token=secret#run=r']);
  keepToken(folder, 'secret');
  expect(openingLines({}, null)).toEqual([page, `  it asks for the token in ${folder.token}`]);
  keepToken(folder, null);
  expect(openingLines({}, null)).toEqual([page, '  it asks for the token of --token-file']);
});

it('a page of loopback on a machine of several says how to reach it from another', () => {
  expect(openingLines({ address: 'node3:50051' }, 'secret').slice(1)).toEqual([
    `  from another machine: ssh -L 8080:127.0.0.1:8080 ${hostname()}`,
  ]);
  expect(openingLines({ address: 'node3:50051', http: '0.0.0.0:8080' }, 'secret')).toHaveLength(1);
});
