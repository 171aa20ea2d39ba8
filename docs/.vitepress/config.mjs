import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitepress';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DOCS = path.join(ROOT, 'docs');
const { description, repository } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
const REPOSITORY = repository?.url.replace(/^git\+/, '').replace(/\.git$/, '');

/** Pages of the site by group, in the order in which they are read. */
const GROUPS = {
  Start: ['index.md', 'commands.md'],
  Tutorials: ['tutorials/browser.md', 'tutorials/router.md', 'tutorials/cluster.md'],
  Train: ['data.md', 'models.md', 'training.md', 'configuration.md', 'speed.md', 'planning.md'],
  Use: ['inference.md', 'evaluation.md', 'export.md'],
  Operate: ['cluster.md', 'reliability.md', 'observability.md', 'metrics.md', 'page.md', 'routes.md'],
  Inside: ['architecture.md', 'extending.md', 'dependencies.md', ...pagesIn('decisions')],
  Results: pagesIn('results'),
};

function pagesIn(folder) {
  const names = readdirSync(path.join(DOCS, folder)).filter((name) => name.endsWith('.md'));
  return names.map((name) => `${folder}/${name}`).sort();
}

const textOf = (page) => readFileSync(path.join(DOCS, page), 'utf8');
const titleOf = (page) => /^# (.*)$/m.exec(textOf(page))[1].replaceAll('`', '');
const nameOnSite = (page) => page.replace(/\bREADME\.md/, 'index.md');
const addressOf = (page) => `/${nameOnSite(page).replace(/(index)?\.md$/, '')}`;

/** Makes the anchor of a heading as GitHub does, so that links work in both places. */
function slugOf(heading) {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-');
}

/**
 * Target of a link that leads out of docs/: the file in the repository, or null if package.json names no
 * repository.
 *
 * @returns {string | null | undefined} undefined for a link that stays as it is
 */
function repositoryLink(href, page) {
  const file = path.join(path.dirname(page), href.replace(/#.*$/, ''));
  if (/^(\w+:|#|\/)/.test(href) || !file.startsWith('..')) return undefined;
  if (REPOSITORY === undefined) return null;
  const kind = statSync(path.join(DOCS, file)).isDirectory() ? 'tree' : 'blob';
  return `${REPOSITORY}/${kind}/main/${path.relative(ROOT, path.join(DOCS, file))}`;
}

/** Makes links to files outside docs/ lead to the repository, or leaves only their text. */
function repositoryLinks(md) {
  md.core.ruler.push('repository-links', ({ tokens, env }) => {
    for (const token of tokens) {
      let isDropped = false;
      token.children = (token.children ?? []).filter((child) => {
        if (child.type === 'link_close' && isDropped) {
          isDropped = false;
          return false;
        }
        if (child.type !== 'link_open') return true;
        const href = child.attrGet('href');
        const link = repositoryLink(href, env.relativePath);
        child.attrSet('href', link ?? nameOnSite(href));
        isDropped = link === null;
        return !isDropped;
      });
    }
  });
}

/**
 * Writes files for programs: each page as Markdown, a list of the pages, and all pages in one file; also the
 * data that pages link to.
 */
function writeTexts({ outDir }) {
  const sections = Object.entries(GROUPS).map(
    ([group, pages]) => `## ${group}\n\n${pages.map((page) => `- [${titleOf(page)}](${page})`).join('\n')}\n`,
  );
  writeFileSync(path.join(outDir, 'llms.txt'), [`# locmoe\n\n> ${description}\n`, ...sections].join('\n'));
  const pages = Object.values(GROUPS).flat();
  writeFileSync(path.join(outDir, 'llms-full.txt'), pages.map(textOf).join('\n'));
  const others = readdirSync(path.join(DOCS, 'results')).filter((name) => /\.jsonl?$/.test(name));
  for (const file of ['model.yaml', ...pages, ...others.map((name) => `results/${name}`)])
    cpSync(path.join(DOCS, file), path.join(outDir, file));
}

const icon = readFileSync(path.join(ROOT, 'packages/export/src/web/browser/icon.svg'));

export default defineConfig({
  title: 'locmoe',
  description,
  head: [['link', { rel: 'icon', href: `data:image/svg+xml;base64,${icon.toString('base64')}` }]],
  srcExclude: ['node_modules', 'api'],
  rewrites: { 'decisions/README.md': 'decisions/index.md' },
  markdown: {
    anchor: { slugify: slugOf },
    languageAlias: { promql: 'txt' },
    config: repositoryLinks,
  },
  buildEnd: writeTexts,
  themeConfig: {
    outline: [2, 3],
    search: { provider: 'local' },
    nav: [
      { text: 'Tutorials', link: addressOf(GROUPS.Tutorials[0]), activeMatch: '/tutorials/' },
      { text: 'API', link: '/api/index.html', target: '_self' },
      { text: 'Train in a tab', link: '/train/index.html', target: '_self' },
    ],
    sidebar: Object.entries(GROUPS).map(([text, pages]) => ({
      text,
      collapsed: text === 'Results',
      items: pages.map((page) => ({ text: titleOf(page), link: addressOf(page) })),
    })),
  },
});
