import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { configurationPage } from '../../src/config/configuration-page.js';
import { configFields, editorSchema, type FieldReference } from '../../src/config/reference.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

type JsonSchema = FieldReference['schema'];

/** A schema with the schemas of its items and alternatives, filtered to those that accept numbers. */
function numbersIn(schema: JsonSchema): JsonSchema[] {
  const inner = [schema.items ?? [], schema.anyOf ?? []].flat() as JsonSchema[];
  const isNumber = schema.type === 'number' || schema.type === 'integer';
  return [...(isNumber && schema.enum === undefined ? [schema] : []), ...inner.flatMap(numbersIn)];
}

function hasEnd({ maximum, exclusiveMaximum }: JsonSchema): boolean {
  return Number.isFinite(maximum ?? exclusiveMaximum);
}

describe('the schema of configurations', () => {
  it('is what docs/configuration.md says', () => {
    const page = readFileSync(path.join(ROOT, 'docs/configuration.md'), 'utf8');
    expect(page, 'npx locmoe config docs > docs/configuration.md').toBe(configurationPage());
  });

  it('describes every field', () => {
    const silent = configFields().filter(
      ({ schema: { properties, description } }) => properties === undefined && description === undefined,
    );
    expect(silent.map(({ path: names }) => names.join('.'))).toEqual([]);
  });

  it('has an upper end for every number, but for the seed', () => {
    const endless = configFields().filter(({ schema }) => numbersIn(schema).some((each) => !hasEnd(each)));
    expect(endless.map(({ path: names }) => names.join('.'))).toEqual(['seed']);
  });

  it('as an editor reads it, takes the recipes and files of your own, and refuses what locmoe refuses', () => {
    const validate = new Ajv2020({ strict: true, strictRequired: false }).compile(editorSchema());
    const folder = path.join(ROOT, 'configs');
    const recipes = readdirSync(folder).map((file) => parse(readFileSync(path.join(folder, file), 'utf8')));
    for (const recipe of recipes) expect(validate(recipe), JSON.stringify(validate.errors)).toBe(true);
    const [recipe] = recipes;
    const withData = (domains: unknown) => ({ ...recipe, data: { domains } });
    expect(validate(withData(['en', { docs: { files: 'docs/**/*.md' } }]))).toBe(true);
    expect(validate(withData([{ docs: { files: ['a.txt', 'b.txt'] } }]))).toBe(true);
    expect(validate(withData([{ docs: { file: 'a.txt' } }]))).toBe(false);
    expect(validate({ ...recipe, moe: { ...recipe.moe, router: 'best' } })).toBe(false);
    expect(validate({ ...recipe, trian: {} })).toBe(false);
  });
});
