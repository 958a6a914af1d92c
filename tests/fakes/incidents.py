"""Incidents in memory."""

from headwater.incidents import Incident


class RecordedIncidents:
    """Implements `headwater.incidents.Incidents`; ``reports`` holds what was reported, with its facts."""

    def __init__(self) -> None:
        self.reports: list[tuple[Incident, dict[str, str]]] = []

    def report(self, incident: Incident, message: str, **facts: str) -> None:
        self.reports.append((incident, {"message": message, **facts}))
