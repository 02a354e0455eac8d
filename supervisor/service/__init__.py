"""What only a service needs: the manager above us, metrics, alerts, logs. Nothing here decides."""
