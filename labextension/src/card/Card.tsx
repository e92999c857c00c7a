/** The card: an answer, and what can be done with it. The same while it streams and in a saved notebook. */
import type { TranslationBundle } from '@jupyterlab/translation';
import { useState } from 'react';
import type { KeyboardEvent } from 'react';

import { TextButton } from '../components/buttons';
import { copyText } from '../components/clipboard';
import type { IMarkdownKit } from '../components/markdown/view';
import { answerToCode, isMarkdown } from './answer';
import type { CardState, IAnswer } from './answer';
import type { ICardHost } from './host';
import { Prose } from './Prose';

export interface ICardProps {
  answer: IAnswer;
  trans: TranslationBundle;
  kit: IMarkdownKit;
  /** the cell around the card, looked up at each click; null: none */
  host: () => ICardHost | null;
  hasHost: boolean;
  /** only while it streams */
  stop?: () => Promise<void>;
}

export function Card(props: ICardProps): JSX.Element | null {
  const { answer, trans } = props;
  const streaming = answer.state === 'streaming';
  if (!streaming && !answer.text.trim()) {
    return null; // what went wrong stands below, as the cell's output
  }
  return (
    <div
      className="jp-Cellar-card"
      role="group"
      aria-label={trans.__('Answer of %1', answer.model)}
      aria-busy={streaming}
      data-state={answer.state}
      onKeyDown={keepKeys}
    >
      <div className="jp-Cellar-card-head">
        <span className="jp-Cellar-card-model">{answer.model}</span>
        <span className="jp-Cellar-card-state" role="status">
          {stateLabel(answer.state, trans)}
        </span>
        {streaming && props.stop && <Stop stop={props.stop} trans={trans} />}
      </div>
      <Body {...props} />
      {answer.notes.map(note => (
        <p key={note} className="jp-Cellar-card-note">
          {note}
        </p>
      ))}
      {!streaming && <Actions {...props} />}
    </div>
  );
}

/** Enter on a button is the button's: the notebook would go into edit mode. */
function keepKeys(event: KeyboardEvent): void {
  const control = (event.target as Element).closest('button, summary, a');
  if (control && (event.key === 'Enter' || event.key === ' ')) {
    event.stopPropagation();
  }
}

function stateLabel(state: CardState, trans: TranslationBundle): string {
  const labels: Record<CardState, string> = {
    streaming: trans.__('Answering…'),
    complete: '',
    length: trans.__('Length limit reached'),
    stopped: trans.__('Stopped'),
    interrupted: trans.__('Cut off'),
    error: trans.__('Failed')
  };
  return labels[state];
}

function Stop(props: {
  stop: () => Promise<void>;
  trans: TranslationBundle;
}): JSX.Element {
  const [asked, setAsked] = useState(false);
  const { trans } = props;
  const stop = async () => {
    setAsked(true);
    try {
      await props.stop();
    } catch (error) {
      console.warn('Cellar: the kernel was not interrupted', error);
      setAsked(false);
    }
  };
  return (
    <TextButton
      className="jp-Cellar-card-stop"
      label={asked ? trans.__('Stopping…') : trans.__('Stop')}
      title={trans.__('Stop the answer and keep what has come')}
      disabled={asked}
      act={() => void stop()}
    />
  );
}

function Body(props: ICardProps): JSX.Element {
  const { answer, trans } = props;
  return (
    <>
      {answer.reasoning && (
        <details className="jp-Cellar-card-reasoning">
          <summary>{trans.__('Reasoning')}</summary>
          <div>{answer.reasoning}</div>
        </details>
      )}
      {answer.status && !answer.text && (
        <p className="jp-Cellar-card-note">{answer.status}</p>
      )}
      {isMarkdown(answer) ? (
        <Prose
          text={answer.text}
          trans={trans}
          open={answer.state === 'streaming'}
          kit={props.kit}
          host={props.host}
          hasHost={props.hasHost}
        />
      ) : (
        <pre className="jp-Cellar-card-plain">{answer.text}</pre>
      )}
    </>
  );
}

function Actions(props: ICardProps): JSX.Element {
  const { answer, trans, host } = props;
  const [copied, setCopied] = useState(false);
  const code = answerToCode(answer);
  const copy = async () => {
    const text = code && answer.format !== 'markdown' ? code : answer.text;
    setCopied(await copyText(text));
  };
  const insert = () =>
    host()?.insertBelow(code || answer.text, code ? 'code' : 'markdown');
  return (
    <div
      className="jp-Cellar-card-actions"
      role="toolbar"
      aria-label={trans.__('Use the answer')}
    >
      <TextButton
        label={copied ? trans.__('Copied') : trans.__('Copy')}
        title={trans.__('Copy the answer')}
        act={() => void copy()}
      />
      {props.hasHost && (
        <TextButton
          label={trans.__('Insert below')}
          title={
            code
              ? trans.__('Insert the code as a new cell below')
              : trans.__('Insert the answer as a new Markdown cell below')
          }
          act={insert}
        />
      )}
      {props.hasHost && code && (
        <TextButton
          label={trans.__('Replace cell')}
          title={trans.__('Replace this cell’s content by the code')}
          act={() => host()?.replace(code)}
        />
      )}
    </div>
  );
}
