import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');
const { engines, scripts } = JSON.parse(read('package.json'));
const nodeVersions: number[] = engines.node.split(' || ').map(Number);

describe('what a clone brings along', () => {
  it('checks every supported version of Node, by the script that checks a clone', () => {
    const { jobs } = parse(read('.github/workflows/check.yml'));
    expect(jobs.check.strategy.matrix.node).toEqual(nodeVersions);
    expect(jobs.check.steps.map(({ run }: { run?: string }) => run)).toContain('.ci/run');
  });

  it('works in one of them', () => {
    expect(nodeVersions).toContain(Number(read('.nvmrc')));
    const { image, postCreateCommand } = JSON.parse(read('.devcontainer/devcontainer.json'));
    expect(nodeVersions).toContain(Number(image.split(':')[1]));
    for (const [, script] of postCreateCommand.matchAll(/npm run (\S+)/g))
      expect(Object.keys(scripts)).toContain(script);
  });

  it('asks in issues for what each form says', () => {
    const folder = '.github/ISSUE_TEMPLATE';
    const forms = readdirSync(path.join(ROOT, folder)).filter((file) => file !== 'config.yml');
    expect(forms.length).toBeGreaterThan(0);
    for (const file of forms) {
      const { name, description, body } = parse(read(path.join(folder, file)));
      expect(
        [name, description].every((text) => typeof text === 'string'),
        file,
      ).toBe(true);
      for (const { type, id, attributes } of body) {
        expect(['textarea', 'input', 'dropdown', 'checkboxes'], file).toContain(type);
        expect(id, file).toMatch(/^[a-z]+$/);
        expect(attributes.label, file).toBeTruthy();
      }
    }
  });

  it.each(['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md'])(
    'links in %s lead to files',
    (file) => {
      const links = [...read(file).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target]) => target);
      expect(links.length).toBeGreaterThan(0);
      expect(links.filter((link) => !existsSync(path.join(ROOT, link)))).toEqual([]);
    },
  );
});
