/**
 * The settings in the user's language. JupyterLab words a schema on its server,
 * and from the language pack alone; an extension's own catalogue is read in the
 * browser, so ours is worded here.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

/** A copy whose titles and descriptions are in the user's language. */
export function wordedSchema<T>(trans: TranslationBundle, schema: T): T {
  // `tools.messages` finds these sentences in schema/*.json: they are not written out here.
  const say = trans._p.bind(trans, 'schema');
  const worded = (value: unknown, name = ''): unknown => {
    if (typeof value === 'string') {
      return name === 'title' || name === 'description' ? say(value) : value;
    }
    if (Array.isArray(value)) {
      return value.map(each => worded(each));
    }
    return typeof value === 'object' && value !== null
      ? Object.fromEntries(
          Object.entries(value).map(([key, each]) => [key, worded(each, key)])
        )
      : value;
  };
  return worded(schema) as T;
}
