import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { globSync } from 'tinyglobby';
import { describe, expect, it } from 'vitest';

const DOCS = fileURLToPath(new URL('../docs', import.meta.url));
const { default: config } = await import(path.join(DOCS, '.vitepress/config.mjs'));
const { slugify } = config.markdown.anchor as { readonly slugify: (heading: string) => string };

const textOf = (file: string) => readFileSync(path.join(DOCS, file), 'utf8').replace(/^```.*?^```/gms, '');
const pages = globSync('**/*.md', { cwd: DOCS, ignore: ['**/node_modules/**', 'api/**', '.vitepress/**'] });

/** The anchors of a page: those of its headings, and explicit ones. */
function anchorsOf(file: string): Set<string> {
  const text = textOf(file);
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    slugify(heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').trim()),
  );
  return new Set([...headings, ...[...text.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id!)]);
}

// By night test/e2e/site.test.ts builds the site and looks for broken links in the result.
describe('the site', () => {
  it('has every page in its list, and only those that there are', () => {
    const items = config.themeConfig.sidebar.flatMap(
      ({ items }: { items: readonly { readonly link: string }[] }) => items.map(({ link }) => link),
    );
    const expected = pages.map((file) => `/${file.replace(/(README|index)?\.md$/, '')}`);
    expect(items.toSorted()).toEqual(expected.sort());
  });

  it.each(pages)('links in %s lead to headings', (file) => {
    const links = [...textOf(file).matchAll(/\]\(([^)#\s:]*\.md)?#([^)\s]+)\)/g)];
    const broken = links.filter(([, target, anchor]) => {
      const page = target === undefined ? file : path.join(path.dirname(file), target);
      return !page.startsWith('..') && !anchorsOf(page).has(decodeURIComponent(anchor!));
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });
});
