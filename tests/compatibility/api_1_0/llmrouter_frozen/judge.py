from llmrouter.models.judge import Judge, Judgement


class BrevityJudge(Judge):
    """Likes short answers."""

    min_score = 0.0
    max_score = 10.0

    def __init__(self, spec):
        super().__init__(spec)
        self.limit = spec.get("limit", 100)

    def score(self, request, response):
        length = len(response["content"])
        if not request["messages"]:
            raise ValueError("there is no question")
        return Judgement(max(0.0, 10.0 * (1 - length / self.limit)), reason=f"{length} characters", cost=0.0)
