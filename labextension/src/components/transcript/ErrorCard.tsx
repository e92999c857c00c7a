/** An error where the answer would be: what happened, and the action that helps. */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { IErrorInfo, ITurn } from '../../wire/types';
import { TextButton } from '../buttons';
import { copyText } from '../clipboard';
import { figure, moment } from '../figures';
import { MakeRoom } from '../MakeRoom';
import { chosenModel } from '../modelpicker';
import { busyWords, useBusy, useChat, useRoom } from '../room';
import { errorWords, remediesOf, reportOf, resetsAt } from '../words';

export function ErrorCard(props: {
  turn: ITurn;
  error: IErrorInfo;
}): JSX.Element {
  const { turn, error } = props;
  const { trans, store } = useRoom();
  const { title, text, action } = errorWords(trans, error, remediesOf(turn));
  const wait = useCountdown(turn, error);
  const busy = useBusy();
  const { another, several } = useModels(turn);
  const asks = ['models', 'pictures', 'quota', 'admin'].includes(action);
  // What is refused for a while is refused by the model that was asked.
  const left = asks && another ? 0 : wait;
  const partial = (turn.parts ?? []).some(part => part.type === 'text');
  return (
    <div className="jp-Cellar-error" role="group" aria-label={title}>
      <div className="jp-Cellar-error-title">{title}</div>
      {text ? <div className="jp-Cellar-error-text">{text}</div> : null}
      <div className="jp-Cellar-error-actions">
        {['retry', 'check', 'models', 'pictures', 'quota'].includes(action) ||
        (asks && another) ? (
          <TextButton
            label={
              // The server knows by now, and leaves them out.
              action === 'pictures' && !another
                ? trans.__('Ask without the pictures')
                : againWords(trans, left)
            }
            disabled={left > 0 || busy}
            title={busy ? busyWords(trans) : undefined}
            act={() => void store.regenerate(turn.id)}
          />
        ) : null}
        {asks && several && !another ? (
          <TextButton
            label={trans.__('Choose another model')}
            act={focusModels}
          />
        ) : null}
        {action === 'admin' || action === 'quota' ? (
          <CopyReport turn={turn} error={error} />
        ) : null}
        {action === 'room' ? <Room turn={turn} /> : null}
        {action === 'reload' ? (
          <TextButton
            label={trans.__('Load the page again')}
            act={() => window.location.reload()}
          />
        ) : null}
        {partial ? (
          <TextButton
            label={trans.__('Continue')}
            disabled={busy}
            title={busy ? busyWords(trans) : undefined}
            act={() => void store.continueTurn(turn.id)}
          />
        ) : null}
        {error.request_id ? (
          <span className="jp-Cellar-dim" title={error.message}>
            {trans.__('Request %1', error.request_id)}
          </span>
        ) : null}
      </div>
    </div>
  );
}

/** Ten minutes and more are told by the clock. */
function againWords(trans: TranslationBundle, left: number): string {
  if (left <= 0) {
    return trans.__('Try again');
  }
  return left < 600
    ? trans.__('Try again in %1 s', figure(left))
    : trans.__('Try again at %1', moment(Date.now() / 1000 + left));
}

/** Is there another model, and is it the one that would be asked now? */
function useModels(turn: ITurn): { another: boolean; several: boolean } {
  const status = useChat(state => state.status);
  const chosen = chosenModel(
    status,
    useChat(state => state.model)
  );
  return {
    another: Boolean(chosen && turn.model) && chosen?.id !== turn.model,
    several: (status?.models.length ?? 0) > 1
  };
}

function focusModels(): void {
  document
    .querySelector<HTMLElement>('.jp-Cellar-panel .jp-Cellar-model select')
    ?.focus();
}

/** What the people who run the server need to know. */
function CopyReport(props: { turn: ITurn; error: IErrorInfo }): JSX.Element {
  const { trans } = useRoom();
  const [copied, setCopied] = React.useState(false);
  const report = reportOf(props.error, props.turn);
  return (
    <TextButton
      label={
        copied ? trans.__('Copied') : trans.__('Copy details for the admin')
      }
      act={() => void copyText(report).then(setCopied)}
    />
  );
}

/** Too long: sum up the conversation, begin anew, or ask without attachments. */
function Room({ turn }: { turn: ITurn }): JSX.Element {
  const { trans, store, compacting } = useRoom();
  const { makeRoom, detach } = remediesOf(turn);
  const askBare = (): void => {
    const { text, mode, parent_id: parentId } = turn;
    store
      .send({ text, mode, parentId, context: [], pills: [] })
      .catch((error: unknown) => store.notify(error));
  };
  return (
    <>
      <MakeRoom
        trans={trans}
        canCompact={makeRoom}
        compact={compacting.compact}
        newFromSummary={compacting.newFromSummary}
      />
      {detach ? (
        <TextButton label={trans.__('Ask without attachments')} act={askBare} />
      ) : null}
    </>
  );
}

/** Seconds from the refusal on; a quota may tell only when it begins anew. */
function waitOf(error: IErrorInfo, ended: number): number {
  const at = error.code === 'quota_exceeded' ? resetsAt(error) : null;
  return error.retry_after ?? (at === null ? 0 : Math.max(0, at - ended));
}

/** Seconds until it may be tried again. */
function useCountdown(turn: ITurn, error: IErrorInfo): number {
  const ended = turn.finished ?? turn.created;
  const wait = waitOf(error, ended);
  const until = (ended + wait) * 1000;
  // The server's clock may be ahead: never longer than it said.
  const left = () =>
    Math.min(wait, Math.max(0, Math.ceil((until - Date.now()) / 1000)));
  const [seconds, setSeconds] = React.useState(left);
  React.useEffect(() => {
    if (seconds <= 0) {
      return;
    }
    const timer = setInterval(() => setSeconds(left()), 500);
    return () => clearInterval(timer);
  });
  return seconds;
}
