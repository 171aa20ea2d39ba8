import { z } from 'zod';
import { runSchema } from './schema.js';

type JsonSchema = z.core.JSONSchema.JSONSchema;

/** A field of the configuration, or a section around fields. */
export interface FieldReference {
  /** Path from the outermost section inwards; `NAME` stands for any name. */
  readonly path: readonly string[];
  readonly schema: JsonSchema;
  readonly isRequired: boolean;
}

/** Returns the JSON schema (draft 2020-12) of a configuration as a user writes it. */
export function editorSchema(): JsonSchema {
  const schema = z.toJSONSchema(runSchema, {
    io: 'input',
    unrepresentable: 'any',
    override: withoutSafeLimits,
  });
  const data = objectAt(schema, 'data');
  const [domains, sources] = [data.domains!, data.sources!];
  const source = sources.additionalProperties as JsonSchema;
  // Files may be a single text, and may be listed in `data.domains`: config/named-sources.ts resolves both.
  const files = objectAt(source).files!;
  (source.properties as Record<string, JsonSchema>).files = {
    description: files.description,
    anyOf: [{ type: 'string', minLength: 1 }, files],
  } as JsonSchema;
  // `model.vocabSize` may be left out, as config/named-tokenizer.ts fills it in.
  const model = (schema.properties as Record<string, JsonSchema>).model!;
  const { description, ...size } = objectAt(model).vocabSize!;
  (model.properties as Record<string, JsonSchema>).vocabSize = {
    description,
    anyOf: [size, { type: 'string', enum: ['auto'] }],
  } as JsonSchema;
  model.required = (model.required ?? []).filter((field) => field !== 'vocabSize');
  // `moe.placement` may be the path of a file, which config/named-placement.ts reads.
  const moe = objectAt(schema, 'moe');
  const { anyOf: placements, ...placement } = moe.placement!;
  moe.placement = { ...placement, anyOf: [{ type: 'string', minLength: 1 }, ...placements!] } as JsonSchema;
  domains.items = { anyOf: [domains.items as JsonSchema, { type: 'object', additionalProperties: source }] };
  return schema;
}

/** Lists sections and fields in the order of the schema, each section before its fields. */
export function configFields(schema = editorSchema(), path: readonly string[] = []): FieldReference[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, value]) => {
    const field = value as JsonSchema;
    const inner = [...path, name];
    return [
      { path: inner, schema: field, isRequired: schema.required?.includes(name) ?? false },
      ...configFields(field, inner),
      ...configFields(namedEntries(field), [...inner, 'NAME']),
    ];
  });
}

/** Returns the entries of a mapping whose names the user chooses. */
function namedEntries({ additionalProperties }: JsonSchema): JsonSchema {
  return typeof additionalProperties === 'object' ? additionalProperties : {};
}

function objectAt(schema: JsonSchema, section?: string): Record<string, JsonSchema> {
  const properties = schema.properties as Record<string, JsonSchema>;
  return section === undefined ? properties : objectAt(properties[section]!);
}

/** Removes the limit 2^53 - 1 that zod gives every integer. */
function withoutSafeLimits({ jsonSchema }: { jsonSchema: JsonSchema }): void {
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
}
