import type { TranslationBundle } from '@jupyterlab/translation';

import { wordedSchema } from '../schema';

const trans = {
  _p: (context: string, text: string) => `${context}: ${text}`
} as TranslationBundle;

describe('a schema in the language of the user', () => {
  it('has its titles and descriptions worded and nothing else', () => {
    const schema = {
      title: 'Cellar',
      'jupyter.lab.setting-icon': 'cellar:chat',
      properties: {
        sendWith: { title: 'Send with', enum: ['enter'], default: 'enter' }
      }
    };
    expect(wordedSchema(trans, schema)).toEqual({
      title: 'schema: Cellar',
      'jupyter.lab.setting-icon': 'cellar:chat',
      properties: {
        sendWith: {
          title: 'schema: Send with',
          enum: ['enter'],
          default: 'enter'
        }
      }
    });
    expect(schema.title).toBe('Cellar');
  });
});
