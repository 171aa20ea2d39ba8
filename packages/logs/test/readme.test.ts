import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const MODULES = fileURLToPath(new URL('../../../node_modules', import.meta.url));

it('the example of the README serves a folder of lines', async () => {
  const [, example] = /```js\n(.*?)```/s.exec(README) ?? [];
  expect(example.trim().split('\n').length).toBeLessThanOrEqual(20);
  const folder = mkdtempSync(path.join(tmpdir(), 'logs-readme-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  symlinkSync(MODULES, path.join(folder, 'node_modules'));
  mkdirSync(path.join(folder, 'logs'));
  writeFileSync(path.join(folder, 'example.mjs'), example);
  const lines = [200, 503, 500].map((status) =>
    JSON.stringify({ level: 30, time: Date.now(), msg: 'served', status }),
  );
  writeFileSync(path.join(folder, 'logs/web.ndjson'), `${lines.join('\n')}\n`);

  const server = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', 'example.mjs'], {
    cwd: folder,
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void server.kill());
  const [url] = (await once(server.stdout, 'data')).map((text) => String(text).trim());
  const ask = async (path: string, logql: string) => {
    const answer = await fetch(`${url}/loki/api/v1/${path}?query=${encodeURIComponent(logql)}`);
    expect(answer.status).toBe(200);
    return ((await answer.json()) as { data: { result: { values: string[][]; value: [number, string] }[] } })
      .data.result;
  };
  const found = await ask('query_range', '{source="web", service_name="shop"} | json | status >= 500');
  expect(found.flatMap(({ values }) => values.map(([, line]) => line)).sort()).toEqual(
    [lines[2], lines[1]].sort(),
  );
  const [{ value }] = await ask('query', 'sum(count_over_time({run="shop", level="info"}[1h]))');
  expect(value[1]).toBe('3');
});
