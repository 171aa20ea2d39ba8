// Builds the site into docs/.vitepress/dist: the API reference, the pages with a searchable list of its names,
// an exported model, and the page that trains one. Then checks for broken links and prints the size of the site. The project has to be
// built before; the model trains for a minute or two.
// node docs/site.mjs [--base /FOLDER/] [--set KEY=VALUE ...]   (--set changes the recipe of the model)
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'vitepress';
import { buildPlayground } from '../packages/playground/build.mjs';

const DOCS = import.meta.dirname;
const SITE = path.join(DOCS, '.vitepress/dist');
/** The reference is built here and copied later, as VitePress empties the site before it builds. */
const REFERENCE = path.join(DOCS, '.vitepress/cache/api');
const NAMES = path.join(DOCS, 'names.md');
const LOCMOE = path.join(DOCS, '../dist/cli/cli.js');
/** Length of each text that the page that trains begins with. */
const SAMPLE_CHARACTERS = 200_000;

const { base, set } = parseArgs({
  options: { base: { type: 'string', default: '/' }, set: { type: 'string', multiple: true, default: [] } },
}).values;

/** @throws {Error} if the program fails, with what it printed */
function run(...command) {
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: DOCS, encoding: 'utf8' });
  if (status !== 0) throw new Error(`node ${command.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
}

/** Runs a part of the build and says how long it took. */
async function timed(name, part) {
  const started = performance.now();
  await part();
  console.log(`${name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

/** Writes the reference, and a page of its names, because the site's search indexes pages only. */
function buildReference() {
  const typedoc = path.join(DOCS, 'node_modules/typedoc/bin/typedoc');
  run(typedoc, '--out', REFERENCE, '--titleLink', base, '--logLevel', 'Error');
  const sections = ['functions', 'classes', 'interfaces', 'types', 'variables'].flatMap((kind) =>
    readdirSync(path.join(REFERENCE, kind))
      .filter((file) => !file.includes('.tf.'))
      .map((file) =>
        sectionOf(`api/${kind}/${file}`, readFileSync(path.join(REFERENCE, kind, file), 'utf8')),
      ),
  );
  writeFileSync(NAMES, ['# Names of the API', ...sections].join('\n\n'));
}

/**
 * A section for a name, with its kind and address. The hidden text lets the search find what the signature
 * mentions, too.
 */
function sectionOf(address, html) {
  const [, content] = /class="col-content">([\s\S]*?)<div class="col-sidebar"/.exec(html);
  const [, kind, name] = /<h1>([A-Z][a-z]+(?: Alias)?) ([\w.]+)/.exec(content);
  const text = content.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');
  return `## ${name}\n\n<p>${kind}: <a href="${base}${address}" target="_self">reference</a></p>\n<div v-pre hidden>${text}</div>`;
}

async function buildPages() {
  try {
    await build(DOCS, { base });
  } finally {
    rmSync(NAMES);
  }
  cpSync(REFERENCE, path.join(SITE, 'api'), { recursive: true });
}

function buildModel() {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-site-'));
  try {
    const places = ['--runs-dir', path.join(folder, 'runs'), '--data-dir', path.join(folder, 'data')];
    const changes = set.flatMap((each) => ['--set', each]);
    run(LOCMOE, 'train', '--config', 'model.yaml', '--no-samples', '--linger', '0', ...places, ...changes);
    const [checkpoint] = readdirSync(path.join(folder, 'runs')).filter((name) => name.startsWith('site-'));
    const model = ['--checkpoint', path.join(folder, 'runs', checkpoint)];
    run(LOCMOE, 'export', ...model, '--to', 'web', '--with-routes', '--output', path.join(SITE, 'model'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Builds the page that trains, with texts of this repository to begin with. */
async function buildTrainingPage() {
  const folder = path.join(SITE, 'train');
  await buildPlayground(folder);
  const textIn = (root, ending) =>
    readdirSync(root, { recursive: true })
      .filter((name) => name.endsWith(ending) && !/node_modules|generated|\.vitepress/.test(name))
      .sort()
      .map((name) => readFileSync(path.join(root, name), 'utf8'))
      .join('\n')
      .slice(0, SAMPLE_CHARACTERS);
  const samples = { prose: textIn(DOCS, '.md'), code: textIn(path.join(DOCS, '../src'), '.ts') };
  writeFileSync(path.join(folder, 'samples.json'), JSON.stringify(samples));
}

/** Every file of the site, relative to it. */
function filesOfSite() {
  const entries = readdirSync(SITE, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => path.relative(SITE, path.join(parentPath, name)));
}

/** Links within the site whose file or anchor does not exist. */
function brokenLinks(files) {
  const pages = new Map(
    files
      .filter((file) => file.endsWith('.html'))
      .map((file) => [file, readFileSync(path.join(SITE, file), 'utf8')]),
  );
  const ids = new Map([...pages].map(([file, html]) => [file, new Set(valuesOf(html, 'id'))]));
  const known = new Set(files);
  return [...pages].flatMap(([page, html]) =>
    [...new Set([...valuesOf(html, 'href'), ...valuesOf(html, 'src')])]
      .filter((link) => {
        if (/^([a-z]+:|\/\/)/i.test(link)) return false;
        const { pathname, hash } = new URL(link, `http://site${base}${page}`);
        const found = [pathname, `${pathname}.html`, `${pathname}index.html`]
          .map((name) => path.relative(base, decodeURIComponent(name)))
          .find((name) => known.has(name));
        const anchors = found && ids.get(found);
        return !found || (hash.length > 1 && anchors && !anchors.has(decodeURIComponent(hash.slice(1))));
      })
      .map((link) => `${page}: ${link}`),
  );
}

/** Values of an attribute in generated HTML. */
function valuesOf(html, attribute) {
  const found = html.matchAll(new RegExp(`<[^>]*\\s${attribute}="([^"]*)"`, 'g'));
  return [...found].map(([, value]) => value.replaceAll('&amp;', '&'));
}

function megabytes(files) {
  return (files.reduce((sum, file) => sum + statSync(path.join(SITE, file)).size, 0) / 1e6).toFixed(1);
}

try {
  await timed('reference', buildReference);
  await timed('pages', buildPages);
  await timed('model', buildModel);
  await timed('training page', buildTrainingPage);
  const files = filesOfSite();
  for (const part of ['api/', 'model/', 'train/', ''])
    console.log(`${part || 'all'}: ${megabytes(files.filter((file) => file.startsWith(part)))} MB`);
  const broken = brokenLinks(files);
  console.log(`broken links: ${broken.length}${broken.map((link) => `\n  ${link}`).join('')}`);
  if (broken.length > 0) process.exitCode = 1;
} catch (error) {
  console.error(`site: ${error.message}`);
  process.exitCode = 2;
}
