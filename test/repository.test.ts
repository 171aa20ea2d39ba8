import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { globSync } from 'tinyglobby';
import { describe, expect, it } from 'vitest';
import { configDefaults } from 'vitest/config';
import { parse } from 'yaml';
import { majorOf, NODE_VERSIONS } from '../scripts/node-versions.mjs';
import vitestConfig from '../vitest.config.js';
import { LONGEST } from './longest-first.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');
const { engines, files, scripts } = JSON.parse(read('package.json'));
const nodeVersions = NODE_VERSIONS.map(majorOf);

describe('what a clone brings along', () => {
  it('checks every supported version of Node, by the script that checks a clone', () => {
    expect(engines.node).toBe(`>=${nodeVersions[0]}`);
    const { jobs } = parse(read('.github/workflows/full.yml'));
    expect(jobs.full.strategy.matrix.node).toEqual(nodeVersions);
    expect(jobs.full.steps.map(({ run }: { run?: string }) => run)).toContainEqual(
      expect.stringMatching(/^\.ci\/run \$\{\{ matrix\.node \}\}$/),
    );
  });

  it('runs actions of one commit alone, and scripts that there are', () => {
    const folder = '.github/workflows';
    for (const file of readdirSync(path.join(ROOT, folder))) {
      const text = read(path.join(folder, file));
      expect(Object.keys(parse(text)), file).toEqual(expect.arrayContaining(['name', 'permissions', 'jobs']));
      const actions = [...text.matchAll(/uses: (.*)$/gm)].map(([, action]) => action);
      expect(actions.length, file).toBeGreaterThan(1);
      for (const action of actions)
        expect(action, file).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
      for (const [, script] of text.matchAll(/npm run (\S+)/g))
        expect(Object.keys(scripts)).toContain(script);
    }
  });

  it('works in one of them', () => {
    expect(nodeVersions).toContain(Number(read('.nvmrc')));
    const { image, postCreateCommand } = JSON.parse(read('.devcontainer/devcontainer.json'));
    expect(nodeVersions).toContain(Number(image.split(':')[1]));
    for (const [, script] of postCreateCommand.matchAll(/npm run (\S+)/g))
      expect(Object.keys(scripts)).toContain(script);
  });

  it('gives an image the lock files that a package has', () => {
    const locked = files.filter((file: string) => /package(-lock)?\.json$/.test(file));
    expect(locked).toContain('corpus/large/package-lock.json');
    const allowed = read('.dockerignore').split('\n');
    const copied = [...read('Dockerfile').matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, from]) =>
      from!.split(' '),
    );
    for (const file of locked) {
      expect(allowed).toContain(`!${file}`);
      expect(
        copied.some((from) => from === file || from === path.dirname(file)),
        file,
      ).toBe(true);
    }
  });

  it('sets up in a package the TensorFlow that the tests run on', () => {
    const versions = ['scripts/package.json', 'tensorflow/package.json'].map(
      (file) => JSON.parse(read(file)).dependencies['@tensorflow/tfjs-node'],
    );
    expect(versions[0]).toBeDefined();
    expect(versions[1]).toBe(versions[0]);
  });

  // The template of a study is rendered into docs/results, so its links are relative to that folder.
  const pages = globSync(['*.md', '{docs,examples,packages,studies}/**/*.md'], {
    cwd: ROOT,
    ignore: ['**/node_modules/**', 'docs/api/**', 'studies/*/report.md'],
  });

  it.each(pages)('links in %s lead to files', (file) => {
    const links = [...read(file).matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)].map(([, target]) => target!);
    expect(links.filter((link) => !existsSync(path.join(ROOT, path.dirname(file), link)))).toEqual([]);
  });
});

describe('the projects of vitest.config.ts', () => {
  const projects = vitestConfig.test!.projects!.map((project) => (project as typeof vitestConfig).test!);
  const all = ['test', 'packages', 'studies']
    .flatMap((folder) =>
      readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map(
        (file) => `${folder}/${file}`,
      ),
    )
    .filter((file) => file.endsWith('.test.ts') && !file.includes('node_modules/'));

  it('name files that there are', () => {
    const patterns = projects
      .flatMap(({ include = [], exclude = [] }) => [...include, ...exclude])
      .filter((pattern) => !configDefaults.exclude.includes(pattern));
    // A pattern with a group is split into one name for each alternative.
    const names = patterns.flatMap((pattern) => {
      const [group, list] = /(?<=\/)\{([^}]*)\}/.exec(pattern) ?? [];
      return list === undefined ? pattern : list.split(',').map((name) => pattern.replace(group!, name));
    });
    names.push(...LONGEST.map((name) => `**/${name}.test.ts`));
    expect(names.filter((name) => !all.some((file) => path.matchesGlob(file, name)))).toEqual([]);
  });

  it('have no ranks, commands or browsers among the units, which share a process', () => {
    const [{ exclude = [] }] = projects;
    const units = all.filter((file) => !exclude.some((pattern) => path.matchesGlob(file, pattern)));
    const starts = /\b(spawnRanks|forkProgram|runAsWorker|TestBrowser\.open)\b|new Locmoe\(/;
    expect(units.length).toBeGreaterThan(100);
    expect(units.filter((file) => file !== 'test/repository.test.ts' && starts.test(read(file)))).toEqual([]);
  });

  it('have no mock, or other change of the process, in files that share one', () => {
    const { include = [] } = projects.find(({ name }) => name === 'processes')!;
    const shared = all.filter((file) => include.some((pattern) => path.matchesGlob(file, pattern)));
    expect(shared.length).toBeGreaterThan(50);
    expect(
      shared.filter((file) => /\bvi\.(mock|stub|useFake)\w*\(|process\.chdir\(/.test(read(file))),
    ).toEqual([]);
  });
});
