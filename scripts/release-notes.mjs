// `node scripts/release-notes.mjs vX.Y.Z`: prints the release's section of CHANGELOG.md, if the tag, every
// package.json and the changelog agree on the version.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const read = (file) => readFileSync(path.join(ROOT, file), 'utf8');

/** @throws {Error} if the versions disagree */
function releaseNotes(tag) {
  const packages = readdirSync(path.join(ROOT, 'packages')).map((name) => `packages/${name}/package.json`);
  for (const file of ['package.json', ...packages.filter((name) => existsSync(path.join(ROOT, name)))]) {
    const { version } = JSON.parse(read(file));
    if (tag !== `v${version}`) throw new Error(`the tag is ${tag}, and ${file} says ${version}`);
  }
  const sections = read('CHANGELOG.md').split(/^## /m);
  const bodyOf = (name) => {
    const section = sections.find((text) => text.split(/\s/, 1)[0] === name);
    return section?.slice(section.indexOf('\n')).trim() ?? '';
  };
  if (bodyOf('Unreleased') !== '')
    throw new Error(
      `CHANGELOG.md: what stands under "Unreleased" is in ${tag}; it belongs under "${tag.slice(1)}"`,
    );
  const notes = bodyOf(tag.slice(1));
  if (notes === '') throw new Error(`CHANGELOG.md: nothing stands under "${tag.slice(1)}"`);
  // Relative links do not work on the page of a release, which is not in a folder of the repository.
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository } = process.env;
  return repository ? notes.replace(/\]\((?!\w+:|#)/g, `](${server}/${repository}/blob/${tag}/`) : notes;
}

try {
  console.log(releaseNotes(process.argv[2] ?? ''));
} catch (error) {
  console.error(`release: ${error.message}`);
  process.exitCode = 2;
}
