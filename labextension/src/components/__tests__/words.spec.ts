import { readFileSync } from 'fs';
import { join } from 'path';

import { nullTranslator } from '@jupyterlab/translation';

import type { ITurn } from '../../wire/types';
import { errorWords, KNOWN_CODES, remediesOf, secretWords } from '../words';

const trans = nullTranslator.load('cellar');

const ERRORS = join(__dirname, '../../../../jupyter_ext/cellar/errors.py');

describe('the words for errors', () => {
  it('know each code of cellar.errors', () => {
    const source = readFileSync(ERRORS, 'utf-8');
    const codes = [...source.matchAll(/^ {4}code = "(\w+)"/gm)].map(
      match => match[1]
    );
    expect(codes.length).toBeGreaterThan(15);
    expect(KNOWN_CODES).toEqual(expect.arrayContaining(codes));
  });

  it('put a full stop between what the server says and what it advises', () => {
    const { text } = errorWords(trans, {
      code: 'model_failed',
      message: 'It answered with text/html instead of an event stream',
      hint: 'Does the base URL end in /v1?'
    });
    expect(text).toContain('event stream. Does the base');
  });

  it('name only what helps against a question that is too long', () => {
    const error = { code: 'context_too_long', message: '' };
    const said = (parent: string | null, pills: boolean, left = true) => {
      const asked = {
        parent_id: parent,
        pills: pills ? [{ kind: 'file', label: 'a' }] : [],
        receipt: left ? {} : null
      } as unknown as ITurn;
      return errorWords(trans, error, remediesOf(asked)).text;
    };
    expect(said('p', true)).toBe('Make room, or take attachments off.');
    expect(said('p', false)).toBe('Make room, or shorten the text.');
    expect(said(null, true)).toBe('Shorten the text, or take attachments off.');
    expect(said(null, false)).toBe('Shorten the text.');
    expect(said('p', true, false)).toBe('Shorten the text.');
  });

  it.each([
    ['bad_request', 'empty', 'The question is empty.'],
    ['bad_request', 'nothing_to_summarise', 'There is nothing to sum up yet.'],
    [
      'not_found',
      'restarted',
      'The server was restarted, and conversations are kept in its memory only.'
    ],
    [
      'forbidden',
      'door',
      'Jupyter refused it. Load the page again and sign in.'
    ]
  ])('say why a %s was one: %s', (code, why, words) => {
    const error = { code, message: 'for the log', detail: { why } };
    expect(errorWords(trans, error).text).toBe(words);
  });
});

describe('the words for what was masked', () => {
  it.each([
    ['github-token', 'GitHub token'],
    ['bearer-token', 'Bearer token'],
    ['jwt', 'JWT token'],
    ['basic-auth', 'basic authentication'],
    ['slack-webhook', 'Slack webhook'],
    ['azure-signature', 'Azure signature'],
    ['password', 'password']
  ])('call a %s %s', (kind, words) => {
    expect(secretWords(trans, kind)).toBe(words);
  });
});
