from llmrouter import CommandSpec, EncoderSpec, JudgeSpec, RouterSpec, TrainerSpec, hookimpl

SEEN = []


@hookimpl
def llmrouter_register_routers():
    return [
        RouterSpec("frozen", "llmrouter_frozen.router:FrozenRouter", "Goes by length."),
        RouterSpec(name="frozen-torch", target="llmrouter_frozen.torch_router:FrozenTorchRouter"),
    ]


@hookimpl(tryfirst=True)
def llmrouter_register_trainers():
    yield TrainerSpec("frozen", "llmrouter_frozen.trainer:FrozenTrainer")
    yield TrainerSpec(router="frozen-torch", target="llmrouter_frozen.torch_router:FrozenTorchTrainer")


@hookimpl
def llmrouter_register_encoders():
    return (
        EncoderSpec("frozen-letters", "llmrouter_frozen.encoder:LetterEncoder", 26),
        EncoderSpec(name="frozen-any", target="llmrouter_frozen.encoder:LetterEncoder", dim=None),
    )


@hookimpl(specname="llmrouter_register_judges")
def judges():
    return [JudgeSpec("frozen-brevity", "llmrouter_frozen.judge:BrevityJudge")]


@hookimpl
def llmrouter_register_commands():
    return [
        CommandSpec("frozen", "llmrouter_frozen.command:frozen", "Print the routers there are."),
        CommandSpec("frozen-plain", "llmrouter_frozen.command:frozen"),
    ]


@hookimpl
def llmrouter_after_route(decision, query):
    SEEN.append((query["query"], decision.model_name, decision.router, decision.extra))


@hookimpl(optionalhook=True)
def llmrouter_of_a_later_version(anything):
    raise AssertionError("it was called")
