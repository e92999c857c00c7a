/** No token yet: in the queue, or the model reads. */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { attachedTokens, shortTokens } from '../../chat/meter';
import type { ITurn } from '../../wire/types';
import { figure } from '../figures';
import { useRoom } from '../room';
import { useSeconds } from './useSeconds';

/** Milliseconds of reading after which one asks oneself why. */
const LONG = 8_000;

export function Waiting({ turn }: { turn: ITurn }): JSX.Element {
  const { trans, store } = useRoom();
  const now = useSeconds(true);
  const since = store.live(turn.id)?.since ?? now;
  const waited = Math.max(0, now - since);
  const tokens = turn.receipt?.prompt_tokens;
  const reading = turn.state !== 'queued' && tokens !== undefined;
  const began = React.useRef<number | null>(null);
  if (reading) {
    began.current ??= now;
  }
  const hint =
    reading && now - began.current! > LONG ? hintOf(trans, turn) : null;
  const ahead = turn.queue?.ahead ?? 0;
  const words =
    turn.state === 'queued'
      ? ahead > 0
        ? trans._n(
            'Waiting: %1 question ahead',
            'Waiting: %1 questions ahead',
            ahead
          )
        : trans.__('Waiting for the model')
      : tokens
        ? trans.__('Reading %1 tokens…', shortTokens(tokens))
        : trans.__('Preparing…');
  return (
    <div className="jp-Cellar-waiting">
      <span className="jp-Cellar-pulse" aria-hidden="true" />
      <span>{words}</span>
      {waited > 1_500 ? (
        <span className="jp-Cellar-dim">
          {trans.__('%1 s', figure(waited / 1000))}
        </span>
      ) : null}
      {turn.state === 'queued' ? (
        <button
          type="button"
          className="jp-Cellar-link"
          onClick={() => void store.stop(turn.id)}
        >
          {trans.__('Cancel')}
        </button>
      ) : null}
      {hint ? <span className="jp-Cellar-dim jp-mod-hint">{hint}</span> : null}
      {waited > 30_000 ? (
        <span className="jp-Cellar-dim jp-mod-hint">
          {trans.__('This may take a while; it goes on when you leave.')}
        </span>
      ) : null}
    </div>
  );
}

/** Where attachments are a good part of what is read, fewer of them help. */
function hintOf(trans: TranslationBundle, { receipt }: ITurn): string | null {
  const attached = receipt ? attachedTokens(receipt) : 0;
  return receipt && attached * 3 >= receipt.prompt_tokens
    ? trans.__(
        '%1 of them are attachments; with fewer the answer comes sooner.',
        shortTokens(attached)
      )
    : null;
}
