/** Errors in the user's words, by their code; and the action that helps. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IErrorInfo, ITurn } from '../wire/types';
import { figure, moment } from './figures';
import { reasonWords } from './reasons';

export type HelpfulAction =
  | 'retry'
  | 'check'
  | 'room'
  | 'reload'
  | 'models'
  | 'pictures'
  | 'quota'
  | 'admin'
  | 'none';

export interface IErrorWords {
  title: string;
  text: string;
  action: HelpfulAction;
}

/** What can be done about a question that is too long: only that is named. */
export interface IRemedies {
  /** sum up the turns before it */
  makeRoom: boolean;
  /** take attachments off */
  detach: boolean;
}

const ALL_REMEDIES: IRemedies = { makeRoom: true, detach: true };

/**
 * The server cuts attachments and history to what fits, and refuses by itself only a
 * question that is too long without them: then there is no receipt, and neither helps.
 */
export function remediesOf(turn: ITurn): IRemedies {
  const left = Boolean(turn.receipt);
  return {
    makeRoom: left && turn.parent_id !== null,
    detach: left && Boolean(turn.pills?.length)
  };
}

function advice(trans: TranslationBundle, can: IRemedies): string {
  if (can.makeRoom) {
    return can.detach
      ? trans.__('Make room, or take attachments off.')
      : trans.__('Make room, or shorten the text.');
  }
  return can.detach
    ? trans.__('Shorten the text, or take attachments off.')
    : trans.__('Shorten the text.');
}

type Words = (
  trans: TranslationBundle,
  error: IErrorInfo,
  can: IRemedies
) => IErrorWords;

function number(error: IErrorInfo, name: string): string {
  const value = error.detail?.[name];
  return typeof value === 'number' ? figure(value) : '';
}

/** Seconds since 1970; null: not told, or in words. */
export function resetsAt({ detail }: IErrorInfo): number | null {
  const at = detail?.resets_at ?? null;
  const seconds = typeof at === 'string' ? Date.parse(at) / 1000 : at;
  return Number.isNaN(seconds) ? null : seconds;
}

/** The server's own English: for the people who run it, behind words of ours. */
function said(error: IErrorInfo): string {
  const { message, hint } = error;
  const sentence = /[.!?…]$/.test(message) ? message : `${message}.`;
  return hint ? `${sentence} ${hint}` : message;
}

/** An error for those people, to be sent to them. */
export function reportOf(error: IErrorInfo, turn: ITurn): string {
  const when = new Date((turn.finished ?? turn.created) * 1000).toISOString();
  return [error.code, said(error), turn.model, error.request_id, when]
    .filter(Boolean)
    .join('\n');
}

function forOperators(trans: TranslationBundle, error: IErrorInfo): string {
  return trans.__(
    'Try again. If it lasts, show this to the people who run it: %1',
    said(error)
  );
}

/** An administrator's reason in his words; ours where he gave none. */
function notAllowed(trans: TranslationBundle, error: IErrorInfo): string {
  switch (error.detail?.why) {
    case 'switched_off':
      return trans.__('It is switched off on this server.');
    case 'model_server':
      return trans.__('The model server refuses it.');
    case 'door':
      return trans.__('Jupyter refused it. Load the page again and sign in.');
    default:
      return error.hint || error.message;
  }
}

function notTaken(trans: TranslationBundle, error: IErrorInfo): string {
  switch (error.detail?.why) {
    case 'empty':
      return trans.__('The question is empty.');
    case 'nothing_to_summarise':
      return trans.__('There is nothing to sum up yet.');
    default:
      return forOperators(trans, error);
  }
}

/** A model server that is away: not found, or just gone. */
function away(trans: TranslationBundle, error: IErrorInfo): IErrorWords {
  if (error.detail?.why === 'stopped') {
    return {
      title: trans.__('The model server has stopped'),
      text: trans.__(
        'Your question is kept. If it starts again by itself, it reads its model for some minutes first: try again then.'
      ),
      action: 'retry'
    };
  }
  return {
    title: trans.__('The model server does not answer'),
    text: error.detail?.address
      ? trans.__(
          'It was looked for at %1; VLLM_BASE_URL says where it is. Your question is kept: try again when it runs.',
          error.detail.address
        )
      : trans.__(
          'Your question is kept. After a start it reads its model for some minutes: try again then; if this lasts, tell the people who run it.'
        ),
    action: 'retry'
  };
}

const WORDS: Record<string, Words> = {
  model_down: away,
  model_loading: trans => ({
    title: trans.__('The model is still loading'),
    text: trans.__('This takes a few minutes after a start. Try again then.'),
    action: 'retry'
  }),
  model_timeout: trans => ({
    title: trans.__('The model took too long'),
    text: trans.__('Nothing came for a long time. It may be very busy.'),
    action: 'retry'
  }),
  model_not_found: (trans, error) => ({
    title: trans.__('This model is not there'),
    text: error.detail?.model
      ? trans.__(
          'The model server has no “%1”. Choose another model below.',
          error.detail.model
        )
      : trans.__('Choose another model below.'),
    action: 'models'
  }),
  context_too_long: (trans, error, can) => {
    const size = number(error, 'n_prompt');
    const limit = number(error, 'limit');
    return {
      title: trans.__('This is more than the model can read'),
      text:
        size && limit
          ? trans.__(
              '%1 tokens were to be sent, the model reads %2. %3',
              size,
              limit,
              advice(trans, can)
            )
          : advice(trans, can),
      action: 'room'
    };
  },
  no_vision: trans => ({
    title: trans.__('This model does not see pictures'),
    text: trans.__('Ask without the pictures, or ask a model that sees them.'),
    action: 'pictures'
  }),
  queue_full: trans => ({
    title: trans.__('Too many questions at once'),
    text: trans.__('The queue of the model is full. Try again in a moment.'),
    action: 'retry'
  }),
  rate_limited: trans => ({
    title: trans.__('Too many requests'),
    text: trans.__('You have asked very often in a short time.'),
    action: 'retry'
  }),
  quota_exceeded: (trans, error) => {
    const used = number(error, 'used');
    const limit = number(error, 'limit');
    const at = resetsAt(error);
    return {
      title: trans.__('Your quota is used up'),
      text: [
        used && limit ? trans.__('%1 of %2 tokens.', used, limit) : '',
        at ? trans.__('It begins anew at %1.', moment(at)) : ''
      ]
        .filter(Boolean)
        .join(' '),
      action: 'quota'
    };
  },
  unauthorized: trans => ({
    title: trans.__('The model server does not accept the key'),
    text: trans.__(
      'Check VLLM_API_KEY, or restart your server if you are on a hub.'
    ),
    action: 'retry'
  }),
  forbidden: (trans, error) => ({
    title: trans.__('This is not allowed'),
    text: notAllowed(trans, error),
    action: 'admin'
  }),
  request_refused: (trans, error) =>
    error.detail?.why === 'no_chat_template'
      ? {
          title: trans.__('This model cannot chat'),
          text: trans.__(
            'It completes text only (it has no chat template). Choose another model below, or tell the people who run the model server.'
          ),
          action: 'models'
        }
      : {
          title: trans.__('The model server refused the request'),
          text: forOperators(trans, error),
          action: 'retry'
        },
  model_failed: (trans, error) => ({
    title: trans.__('The model server failed'),
    text: forOperators(trans, error),
    action: 'retry'
  }),
  model_error: (trans, error) => ({
    title: trans.__('The model server failed'),
    text: forOperators(trans, error),
    action: 'retry'
  }),
  bad_request: (trans, error) => ({
    title: trans.__('This could not be sent'),
    text: notTaken(trans, error),
    action: 'none'
  }),
  too_large: (trans, error, can) => ({
    title: trans.__('This is too large'),
    text:
      error.detail?.why === 'conversation'
        ? trans.__(
            'This conversation is as long as it may get. Begin a new one.'
          )
        : can.detach
          ? trans.__('Shorten the text, or take attachments off.')
          : trans.__('Shorten the text.'),
    action: 'none'
  }),
  not_found: (trans, error) => ({
    title: trans.__('This is not there any more'),
    text:
      error.detail?.why === 'restarted'
        ? trans.__(
            'The server was restarted, and conversations are kept in its memory only.'
          )
        : trans.__('It was deleted, perhaps in another tab.'),
    action: 'none'
  }),
  conflict: trans => ({
    title: trans.__('This has changed meanwhile'),
    text: trans.__('Look again; perhaps another tab was faster.'),
    action: 'none'
  }),
  outside_workspace: trans => ({
    title: trans.__('This lies outside of your workspace'),
    text: trans.__('Only files below the folder of the server can be read.'),
    action: 'none'
  }),
  unreadable: (trans, error) => ({
    title: trans.__('This file cannot be read as text'),
    text:
      reasonWords(trans, { code: String(error.detail?.why) }) || error.message,
    action: 'none'
  }),
  not_read: (trans, error) => ({
    title: trans.__('“%1” could not be read', String(error.detail?.what)),
    text: trans.__('Take it off, or try again.'),
    action: 'none'
  }),
  disk_refused: trans => ({
    title: trans.__('The disk of the server refused'),
    text: trans.__('Nothing was changed. There may be no room left on it.'),
    action: 'none'
  }),
  network: trans => ({
    title: trans.__('The server cannot be reached'),
    text: trans.__('Try again when the connection is back.'),
    action: 'check'
  }),
  signed_out: trans => ({
    title: trans.__('You are signed out'),
    text: trans.__('Load this page again to sign in. Your text is kept.'),
    action: 'reload'
  }),
  extension_missing: trans => ({
    title: trans.__('The server part of Cellar is missing'),
    text: trans.__(
      'Install jupyter-cellar where Jupyter runs, check that "jupyter server extension list" shows cellar_jupyter, and restart the server.'
    ),
    action: 'check'
  }),
  internal: (trans, error) => ({
    title: trans.__('Something went wrong inside Cellar'),
    text: forOperators(trans, error),
    action: 'retry'
  })
};

/** Codes that have words of their own (the tests compare with cellar/errors.py). */
export const KNOWN_CODES: readonly string[] = Object.keys(WORDS);

export function errorWords(
  trans: TranslationBundle,
  error: IErrorInfo,
  can = ALL_REMEDIES
): IErrorWords {
  const words = WORDS[error.code];
  return words
    ? words(trans, error, can)
    : {
        title: trans.__('This did not work'),
        text: forOperators(trans, error),
        action: 'retry'
      };
}

/** Names that no language translates. */
const BRANDS: Record<string, string> = {
  api: 'API',
  aws: 'AWS',
  azure: 'Azure',
  bearer: 'Bearer',
  databricks: 'Databricks',
  digitalocean: 'DigitalOcean',
  github: 'GitHub',
  gitlab: 'GitLab',
  google: 'Google',
  huggingface: 'Hugging Face',
  nvidia: 'NVIDIA',
  pypi: 'PyPI',
  sendgrid: 'SendGrid',
  shopify: 'Shopify',
  slack: 'Slack',
  stripe: 'Stripe',
  vault: 'Vault'
};

/** What a masked secret was: "github-token" of the receipt in words. */
export function secretWords(trans: TranslationBundle, kind: string): string {
  const whole: Record<string, string> = {
    'basic-auth': trans.__('basic authentication'),
    cookie: trans.__('cookie'),
    environment: trans.__('value of an environment variable'),
    jwt: trans.__('JWT token'),
    'private-key': trans.__('private key'),
    'url-password': trans.__('password in an address')
  };
  const ends: Record<string, string> = {
    key: trans.__('key'),
    token: trans.__('token'),
    secret: trans.__('secret'),
    signature: trans.__('signature'),
    password: trans.__('password'),
    webhook: trans.__('webhook')
  };
  const words = kind.split('-');
  const last = words[words.length - 1];
  const brand = words.slice(0, -1).map(word => BRANDS[word] ?? word);
  return whole[kind] ?? [...brand, ends[last] ?? last].join(' ');
}

export function tokenWords(trans: TranslationBundle, count: number): string {
  return trans._n('%2 token', '%2 tokens', count, figure(count));
}

/** A length of time: 40 ms, 2.5 s, 12 s, 3 min 5 s. */
export function seconds(trans: TranslationBundle, ms: number): string {
  const s = ms / 1000;
  if (s < 0.1) {
    return trans.__('%1 ms', figure(ms));
  }
  if (s < 9.95) {
    return trans.__('%1 s', figure(s, 1));
  }
  const whole = Math.round(s);
  return whole < 60
    ? trans.__('%1 s', figure(whole))
    : trans.__(
        '%1 min %2 s',
        figure(Math.floor(whole / 60)),
        figure(whole % 60)
      );
}
